/* relay PORT TARGET_PORT MILLISECONDS
 *
 * A TCP relay that stands for distance, where the kernel has no netem: it listens on every address, goes on to the
 * very address that was dialled, at TARGET_PORT, and holds all bytes MILLISECONDS in each direction. A new connection
 * is held twice as long, as its handshake would be. relay.py does the same, more slowly. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { READ = 65536, EVENTS = 256 };

typedef struct Parcel {
    struct Parcel *next;
    long long due; /* nanoseconds */
    size_t length, sent;
    char bytes[]; /* none: the end of the stream */
} Parcel;

/* One direction: what was read from `from`, on its way to the other side. */
typedef struct {
    Parcel *first, **last;
    int ended; /* the end is on its way, or was delivered */
} Way;

typedef struct Link {
    struct Link *next;
    int sockets[2]; /* the client's, the server's (-1: not dialled yet) */
    Way ways[2];    /* from the client, from the server */
    struct sockaddr_in target;
    long long dial_at;
    int broken;
} Link;

static int poller, alarm_clock;
static long long hold;
static Link *links;
static char buffer[READ];

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void watch(Link *link, int side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link};
    int on = 1;
    setsockopt(link->sockets[side], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(poller, EPOLL_CTL_ADD, link->sockets[side], &event);
}

static void take(Link *link, int side)
{
    Way *way = &link->ways[side];
    while (link->sockets[side] >= 0 && !way->ended) {
        ssize_t got = recv(link->sockets[side], buffer, READ, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
            return;
        size_t length = got > 0 ? (size_t)got : 0;
        Parcel *parcel = malloc(sizeof *parcel + length);
        *parcel = (Parcel){.due = now() + hold, .length = length};
        memcpy(parcel->bytes, buffer, length);
        *way->last = parcel;
        way->last = &parcel->next;
        way->ended = length == 0;
        int on = 1; /* a host would acknowledge at once; a delayed one would add 40 ms */
        setsockopt(link->sockets[side], IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

static void deliver(Link *link, int side, long long time)
{
    Way *way = &link->ways[side];
    int to = link->sockets[!side];
    while (to >= 0 && way->first && way->first->due <= time) {
        Parcel *parcel = way->first;
        if (parcel->length == 0) {
            shutdown(to, SHUT_WR);
        } else {
            ssize_t sent = send(to, parcel->bytes + parcel->sent, parcel->length - parcel->sent, MSG_NOSIGNAL);
            if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINTR))
                return;
            if (sent < 0) {
                link->broken = 1;
                return;
            }
            parcel->sent += (size_t)sent;
            if (parcel->sent < parcel->length)
                continue;
        }
        way->first = parcel->next;
        if (!way->first)
            way->last = &way->first;
        free(parcel);
    }
}

static void dial(Link *link)
{
    link->sockets[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(link->sockets[1], (struct sockaddr *)&link->target, sizeof link->target) && errno != EINPROGRESS)
        link->broken = 1;
    watch(link, 1);
}

static void accept_all(int listener, int target_port)
{
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        Link *link = calloc(1, sizeof *link);
        socklen_t length = sizeof link->target;
        getsockname(descriptor, (struct sockaddr *)&link->target, &length);
        link->target.sin_port = htons((unsigned short)target_port);
        link->sockets[0] = descriptor;
        link->sockets[1] = -1;
        link->dial_at = now() + 2 * hold;
        for (int side = 0; side < 2; side++)
            link->ways[side].last = &link->ways[side].first;
        link->next = links;
        links = link;
        watch(link, 0);
    }
}

static int over(Link *link)
{
    return link->broken
        || (link->ways[0].ended && link->ways[1].ended && !link->ways[0].first && !link->ways[1].first);
}

/* Everything that is due, on every link; gives when the next is. */
static long long step(long long time)
{
    long long next = -1;
    for (Link **place = &links; *place;) {
        Link *link = *place;
        if (link->sockets[1] < 0 && link->dial_at <= time)
            dial(link);
        for (int side = 0; side < 2; side++)
            deliver(link, side, time);
        if (over(link)) {
            for (int side = 0; side < 2; side++) {
                if (link->sockets[side] >= 0)
                    close(link->sockets[side]);
                for (Parcel *parcel = link->ways[side].first, *after; parcel; parcel = after) {
                    after = parcel->next;
                    free(parcel);
                }
            }
            *place = link->next;
            free(link);
            continue;
        }
        if (link->sockets[1] < 0 && (next < 0 || link->dial_at < next))
            next = link->dial_at;
        for (int side = 0; side < 2 && link->sockets[1] >= 0; side++)
            /* What is due already waits for room in the socket, which the poller tells. */
            if (link->ways[side].first && link->ways[side].first->due > time
                && (next < 0 || link->ways[side].first->due < next))
                next = link->ways[side].first->due;
        place = &link->next;
    }
    return next;
}

/* Be woken at that time, in nanoseconds; at none when it is negative. */
static void set_alarm(long long time)
{
    struct itimerspec when = {0};
    if (time >= 0)
        when.it_value = (struct timespec){.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &when, NULL);
}

int main(int count, char **words)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &listener}, events[EVENTS];
    struct epoll_event ringing = {.events = EPOLLIN, .data.ptr = &alarm_clock};
    if (count != 4)
        return 64;
    address.sin_port = htons((unsigned short)atoi(words[1]));
    hold = (long long)(atof(words[3]) * 1e6);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("relay");
        return 1;
    }
    poller = epoll_create1(0);
    alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
    epoll_ctl(poller, EPOLL_CTL_ADD, alarm_clock, &ringing);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int event = 0; event < ready; event++) {
            void *what = events[event].data.ptr;
            if (what == &listener)
                accept_all(listener, atoi(words[2]));
            else if (what != &alarm_clock)
                for (int side = 0; side < 2; side++)
                    take(what, side);
        }
        set_alarm(step(now()));
    }
}
