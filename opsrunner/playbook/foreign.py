"""Modules that have moved from Ansible to collections: old playbooks still use their short names."""

from __future__ import annotations

_NAMES = {
    "ansible.posix": "acl at firewalld patch seboolean selinux synchronize",
    "ansible.netcommon": "cli_command cli_config net_get net_ping net_put netconf_config restconf_config telnet",
    "community.general": (
        "airbrake_deployment aix_filesystem aix_lvg alternatives ansible_galaxy_install apk archive bower bundler"
        " bzr capabilities cargo cobbler_sync cobbler_system composer consul consul_kv cpanm cronvar datadog_event"
        " datadog_monitor dconf deploy_helper discord django_manage dnf_config_manager dnsmadeeasy dnsimple"
        " ejabberd_user etcd3 facter filesystem flatpak flatpak_remote flowdock gconftool2 gem git_config grove"
        " haproxy hg hipchat homebrew homebrew_cask homebrew_tap htpasswd ini_file installp interfaces_file"
        " ip_netns iptables_state irc iso_extract java_cert java_keystore jabber jboss jira kernel_blacklist"
        " kibana_plugin layman ldap_attrs ldap_entry ldap_passwd librato_annotation listen_ports_facts locale_gen"
        " logentries lvg lvol lxc_container lxd_container lxd_profile macports mail make mattermost"
        " maven_artifact modprobe monit mqtt mssql_db nagios newrelic_deployment nmcli nomad_job npm nsupdate"
        " odbc ohai open_iscsi openbsd_pkg openwrt_init opkg osx_defaults pacman pagerduty pagerduty_alert"
        " pam_limits pamd parted pear pids pingdom pip_package_info pipx pkg5 pkgin pkgng pkgutil portage"
        " puppet pushbullet pushover read_csv redhat_subscription redis redis_data rhn_channel rhn_register"
        " rhsm_release rhsm_repository rocketchat rollbar_deployment rpm_ostree_pkg runit sefcontext selogin"
        " sendgrid sensu_check seport shutdown slack snap snmp_facts solaris_zone ssh_config"
        " statusio_maintenance sudoers supervisorctl svc svr4pkg swdepot syslogger syspatch"
        " telegram terraform timezone twilio typetalk"
        " ufw uptimerobot urpmi vdo wakeonlan xattr xbps xfconf xfs_quota xml yarn zfs zfs_facts znode zpool_facts"
        " zypper zypper_repository"
    ),
    "community.crypto": "get_certificate luks_device openssh_cert openssh_keypair",
    "community.libvirt": "virt virt_net virt_pool",
    "community.mysql": "mysql_db mysql_info mysql_query mysql_replication mysql_user mysql_variables",
    "kubernetes.core": "helm helm_info helm_repository k8s k8s_exec k8s_facts k8s_info k8s_scale k8s_service",
    "amazon.aws": "ec2 ec2_ami ec2_eip ec2_elb ec2_facts ec2_group ec2_instance ec2_key ec2_tag ec2_vol ec2_vpc_net s3",
    "chocolatey.chocolatey": "win_chocolatey",
}
_COLLECTIONS = {name: collection for collection, names in _NAMES.items() for name in names.split()}

#: The first words of whole families.
_FAMILIES = {
    "acme": "community.crypto",
    "aci": "cisco.aci",
    "asa": "cisco.asa",
    "aws": "community.aws",
    "azure": "azure.azcollection",
    "bigip": "f5networks.f5_modules",
    "digital": "community.digitalocean",
    "docker": "community.docker",
    "eos": "arista.eos",
    "fortios": "fortinet.fortios",
    "gcp": "google.cloud",
    "github": "community.general",
    "gitlab": "community.general",
    "grafana": "community.grafana",
    "hcloud": "hetzner.hcloud",
    "ios": "cisco.ios",
    "iosxr": "cisco.iosxr",
    "ipa": "community.general",
    "jenkins": "community.general",
    "junos": "junipernetworks.junos",
    "keycloak": "community.general",
    "mongodb": "community.mongodb",
    "nxos": "cisco.nxos",
    "openssl": "community.crypto",
    "os": "openstack.cloud",
    "ovirt": "ovirt.ovirt",
    "podman": "containers.podman",
    "postgresql": "community.postgresql",
    "proxmox": "community.general",
    "proxysql": "community.proxysql",
    "rabbitmq": "community.rabbitmq",
    "rds": "community.aws",
    "route53": "community.aws",
    "vmware": "community.vmware",
    "vyos": "vyos.vyos",
    "win": "ansible.windows",
    "x509": "community.crypto",
    "zabbix": "community.zabbix",
}


def collection(name: str) -> str | None:
    """The collection in which a short name is at home; None where it is no such name."""
    family, _, rest = name.partition("_")
    return _COLLECTIONS.get(name) or (_FAMILIES.get(family) if rest else None)
