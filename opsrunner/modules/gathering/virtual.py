"""Whether the host is a virtual machine or a container, or has some."""

from __future__ import annotations

import re

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, content

_PROBE = r"""
text cgroup /proc/1/cgroup
told container "$({ tr '\0' '\n' </proc/1/environ; } 2>/dev/null | grep container= )"
there vz /proc/vz; there lve /proc/lve; there bc /proc/bc; line systemd_container /run/systemd/container
there dockerenv /.dockerenv; there dockerenv /.dockerinit
there xen /proc/xen; text xen_capabilities /proc/xen/capabilities
for name in product_name sys_vendor product_family bios_vendor; do
    line "virtual_$name" "/sys/devices/virtual/dmi/id/$name"
done
told vserver "$(grep '^VxID:' /proc/self/status 2>/dev/null)"
told machine_lines "$(grep -E '^(model name|vendor_id|machine)' /proc/cpuinfo 2>/dev/null)"
told modules "$(grep -oE '^(kvm|vboxdrv|virtio) ' /proc/modules 2>/dev/null)"
there dev_kvm /dev/kvm
"""

#: Field of the firmware, what it says or begins with → what that means.
_FIRMWARE = (
    ("product_name", r"(KVM|KVM Server|Bochs|AHV|CloudStack KVM Hypervisor)$", "kvm"),
    ("sys_vendor", r"oVirt$", "oVirt"),
    ("product_name", r"VMware", "VMware"),
    ("product_name", r"OpenStack (Compute|Nova)$", "openstack"),
    ("bios_vendor", r"Xen$", "xen"),
    ("bios_vendor", r"innotek GmbH$", "virtualbox"),
    ("bios_vendor", r"(Amazon EC2|DigitalOcean|Hetzner|Linode)$", "kvm"),
    ("sys_vendor", r"(QEMU|Amazon EC2|DigitalOcean|Google|Scaleway|Nutanix)$", "kvm"),
    ("sys_vendor", r"KubeVirt$", "KubeVirt"),
    ("sys_vendor", r"Microsoft Corporation$", "VirtualPC"),
    ("sys_vendor", r"Parallels Software International Inc\.$", "parallels"),
    ("sys_vendor", r"OpenStack Foundation$", "openstack"),
)
_PROCESSORS = (
    (r"^model name.*QEMU Virtual CPU", "kvm"),
    (r"^vendor_id.*User Mode Linux", "uml"),
    (r"^model name.*UML", "uml"),
    (r"^machine.*CHRP IBM pSeries .emulated by qemu.", "kvm"),
    (r"^vendor_id.*PowerVM Lx86", "powervm_lx86"),
    (r"^vendor_id.*IBM/S390", "PR/SM"),
)
_CONTAINERS = frozenset(("docker", "lxc", "podman", "openvz", "containerd"))


class _Signs:
    """The first sign names the type and role, all of them the technologies."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.role: str | None = None
        self.guest: list[str] = []
        self.host: list[str] = []

    def see(self, kind: str, role: str = "guest") -> None:
        among = self.guest if role in ("guest", "LPAR") else self.host
        if kind not in among:
            among.append(kind)
        if self.kind is None:
            self.kind, self.role = kind, role


def _read(told: Told, facts: Facts) -> Facts:
    if facts.get("system", "Linux") != "Linux":
        return {}
    signs = _Signs()
    _containers(told, signs)
    _firmware(told, signs)
    _kernel(told, signs)
    return {
        "virtualization_type": signs.kind or "NA",
        "virtualization_role": signs.role or "NA",
        "virtualization_tech_guest": signs.guest,
        "virtualization_tech_host": signs.host,
    }


def _containers(told: Told, signs: _Signs) -> None:
    cgroup, around = told.get("cgroup", ""), told.get("container", "")
    for pattern, kind in (
        (r"/docker(/|-[0-9a-f]+\.scope)", "docker"),
        (r"/lxc/|/machine.slice/machine-lxc", "lxc"),
        (r"/system.slice/containerd.service", "containerd"),
    ):
        if re.search(pattern, cgroup):
            signs.see(kind)
    for pattern, kind in (("container=lxc", "lxc"), ("container=podman", "podman"), ("^container=.", "container")):
        if re.search(pattern, around, re.MULTILINE):
            signs.see(kind)
    if "vz" in told and "lve" not in told:
        signs.see("openvz", "host" if "bc" in told else "guest")
    named = content(told, "systemd_container")
    if named:
        signs.see(named)
    if "dockerenv" in told:
        signs.see("docker")
    if (named or _CONTAINERS.intersection(signs.guest)) and "container" not in signs.guest:
        signs.guest.append("container")
    if "xen" in told:
        signs.see("xen", "host" if "control_d" in told.get("xen_capabilities", "") else "guest")


def _firmware(told: Told, signs: _Signs) -> None:
    for field, pattern, kind in _FIRMWARE:
        if re.match(pattern, told.get(f"virtual_{field}", "").strip()):
            signs.see(kind)
    if told.get("virtual_sys_vendor", "").strip() == "Red Hat":
        if told.get("virtual_product_family", "").strip() == "RHV":
            signs.see("RHV")
        elif told.get("virtual_product_name", "").strip() == "RHEV Hypervisor":
            signs.see("RHEV")


def _kernel(told: Told, signs: _Signs) -> None:
    if number := re.match(r"VxID:\s+(\d+)", told.get("vserver", "")):
        signs.see("linux_vserver", "host" if number[1].startswith("0") else "guest")
    for pattern, kind in _PROCESSORS:
        if re.search(pattern, told.get("machine_lines", ""), re.MULTILINE):
            signs.see(kind, "LPAR" if kind == "PR/SM" else "guest")
    loaded = told.get("modules", "").split()
    if "kvm" in loaded:
        signs.see("kvm", "host")
    if "vboxdrv" in loaded:
        signs.see("virtualbox", "host")
    if "virtio" in loaded:
        if signs.kind is None:
            signs.kind, signs.role = "kvm", "guest"
        if "kvm" not in signs.host:
            signs.host.append("kvm")
    if "dev_kvm" in told:
        signs.see("kvm", "host")


COLLECTORS = (
    Collector(
        "virtual",
        _PROBE,
        _read,
        ("virtualization_role", "virtualization_tech_guest", "virtualization_tech_host", "virtualization_type"),
    ),
)
