/* Preloaded into sshd: its queue of connections that wait to be accepted is 128 long, compiled in. One sshd stands for
 * a thousand hosts here, each of which would have a queue of its own; without this a burst of connections loses
 * packets that no real fleet would lose, and a client waits a second for each. */
#define _GNU_SOURCE
#include <dlfcn.h>

int listen(int descriptor, int backlog)
{
    int (*next)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    return next(descriptor, backlog < 4096 ? 4096 : backlog);
}
