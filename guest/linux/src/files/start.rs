//! The files that a program finds when it begins: those of the boot module, and beside them what programs expect of any
//! machine, where the module does not have it.

use super::{DynamicDirectory, FileData, Generated, Payload};
use crate::interfaces;
use crate::objects::device::Device;
use crate::time;
use core::net::IpAddr;
use toro::collections::HashMap;
use toro::net;
use toro::prelude::*;
use toro_abi::module::{Contents, Entry, Module};
use toro_linux_abi::address::CARD;
use toro_linux_abi::layout::Timespec;
use toro_linux_abi::tree::{FileType, Found, Kind, Last, New, NodeId, Tree, Who};

/// What is written into the files of `/etc`.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The machine's name.
    pub hostname: String,
    /// Its own address, if that is known.
    pub address: Option<String>,
    /// Who is asked for names.
    pub resolver: Resolver,
    /// Names with their addresses, `NAME:A.B.C.D`.
    pub hosts: Vec<String>,
    /// Where the program is.
    pub program: Vec<u8>,
}

/// What `/etc/resolv.conf` is.
#[derive(Clone, Debug)]
pub(crate) enum Resolver {
    /// A file that never changes by itself; none, if it is empty.
    Fixed(String),
    /// What DHCP says when it is read.
    Asked,
}

/// Name servers and domains as they are now, as `/etc/resolv.conf` has them.
pub(crate) fn resolver() -> String {
    let mut text = String::new();
    for server in net::name_servers() {
        // One of the link alone is said with the link.
        let near = matches!(server, IpAddr::V6(ip) if ip.is_unicast_link_local());
        text.push_str(&if near { format!("nameserver {server}%{CARD}\n") } else { format!("nameserver {server}\n") });
    }
    let search = net::search_domains();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text
}

/// Files at work while the tree is made.
struct Maker {
    tree: Tree<Payload>,
    now: Timespec,
}

/// The tree with the files of `module` and all others.
pub(crate) fn begin(module: &Module<'static>, start: &Start) -> Tree<Payload> {
    let mut maker = Maker { tree: Tree::new(time::wall()), now: time::wall() };
    maker.take_module(module);
    maker.add_directories();
    maker.add_etc(start);
    maker.add_devices();
    maker.add_proc(start);
    maker.add_sys();
    maker.tree
}

impl Maker {
    fn take_module(&mut self, module: &Module<'static>) {
        let mut directories: HashMap<&[u8], NodeId> = HashMap::new();
        let mut linked: HashMap<usize, NodeId> = HashMap::new();
        for entry in module.entries() {
            let Some(parent) = entry.parent() else {
                let root = self.tree.root();
                self.set(root, &entry);
                directories.insert(entry.path, root);
                continue;
            };
            let Some(parent) = directories.get(parent).copied() else { continue };
            let permissions = entry.metadata.mode.into();
            let new = match entry.contents {
                Contents::Directory => New::directory(permissions),
                Contents::Symlink(target) => New::link(target),
                Contents::File(file) => {
                    if let Some(known) = linked.get(&file.number) {
                        self.tree.add_name(parent, entry.name(), *known);
                        continue;
                    }
                    let data = FileData::in_module(file.data().len(), file.pages());
                    New::file(FileType::Regular, permissions, Payload::Data(data))
                }
            };
            let node = self.tree.add(parent, entry.name(), new, (0, 0), self.now);
            match entry.contents {
                Contents::Directory => _ = directories.insert(entry.path, node),
                Contents::File(file) => _ = linked.insert(file.number, node),
                Contents::Symlink(_) => {}
            }
            self.set(node, &entry);
        }
    }

    fn set(&mut self, node: NodeId, entry: &Entry<'_>) {
        let metadata = &entry.metadata;
        let node = self.tree.node_mut(node);
        (node.uid, node.gid) = (metadata.uid, metadata.gid);
        node.permissions = metadata.mode.into();
        node.read_only = metadata.is_read_only;
        let time = Timespec { seconds: metadata.mtime.seconds, nanoseconds: metadata.mtime.nanoseconds.into() };
        (node.times.access, node.times.modify, node.times.change) = (time, time, time);
    }

    /// What is at a path, or the directory and the name for it.
    fn find(&self, path: &str) -> Result<NodeId, (NodeId, Vec<u8>)> {
        match self.tree.walk(self.tree.root(), path.as_bytes(), Last::Follow, Who::ROOT) {
            Ok(Found::Place(place)) => place.node.ok_or((place.parent, place.name)),
            Ok(Found::Dynamic(dynamic)) => Ok(dynamic.directory),
            // A root of the user's own making may have a file where a directory is usual: there it ends.
            Err(_) => Ok(self.tree.root()),
        }
    }

    /// Adds a file, unless there is one.
    fn add(&mut self, path: &str, new: New<Payload>) {
        if let Err((parent, name)) = self.find(path) {
            self.tree.add(parent, &name, new, (0, 0), self.now);
        }
    }

    fn directory(&mut self, path: &str, permissions: u32) {
        self.add(path, New::directory(permissions));
    }

    fn text(&mut self, path: &str, text: &str) {
        let data = FileData::from_text(text.as_bytes()).unwrap_or_else(|_| FileData::empty());
        self.add(path, New::file(FileType::Regular, 0o644, Payload::Data(data)));
    }

    fn generated(&mut self, path: &str, what: Generated) {
        let permissions = if matches!(what, Generated::Comm(_)) { 0o644 } else { 0o444 };
        self.add(path, New::file(FileType::Regular, permissions, Payload::Generated(what)));
    }

    fn constant(&mut self, path: &str, text: &'static str) {
        self.generated(path, Generated::Constant(text));
    }

    fn link(&mut self, path: &str, target: &[u8]) {
        self.add(path, New::link(target));
    }

    fn dynamic(&mut self, path: &str, directory: DynamicDirectory) {
        self.add(path, New { kind: Kind::Dynamic(directory.number()), permissions: 0o555 });
    }

    fn add_directories(&mut self) {
        for path in
            ["/etc", "/dev", "/proc", "/sys", "/run", "/var", "/var/run", "/var/lib", "/var/log", "/usr", "/home"]
        {
            self.directory(path, 0o755);
        }
        self.directory("/root", 0o700);
        for path in ["/tmp", "/var/tmp", "/dev/shm"] {
            self.directory(path, 0o1777);
        }
    }

    fn add_etc(&mut self, start: &Start) {
        let name = &start.hostname;
        self.text("/etc/hostname", &format!("{name}\n"));
        let address = start.address.as_deref().map_or(String::new(), |address| format!("{address}\t{name}\n"));
        let mut hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}");
        for host in &start.hosts {
            let (name, ip) = host.split_once(':').unwrap_or_default();
            hosts.push_str(&format!("{ip}\t{name}\n"));
        }
        self.text("/etc/hosts", &hosts);
        match &start.resolver {
            Resolver::Fixed(text) if text.is_empty() => {}
            Resolver::Fixed(text) => self.text("/etc/resolv.conf", text),
            Resolver::Asked => self.generated("/etc/resolv.conf", Generated::Resolver),
        }
        self.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        self.text("/etc/host.conf", "multi on\n");
        let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
        self.text("/etc/passwd", &format!("root:x:0:0:root:/root:/bin/sh\n{nobody}"));
        self.text("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
        let services = "domain\t53/tcp\ndomain\t53/udp\nhttp\t80/tcp\nhttps\t443/tcp\n";
        self.text("/etc/services", services);
    }

    fn add_devices(&mut self) {
        for (path, device, is_urandom) in [
            ("/dev/null", Device::Null, false),
            ("/dev/zero", Device::Zero, false),
            ("/dev/full", Device::Full, false),
            ("/dev/random", Device::Random, false),
            ("/dev/urandom", Device::Random, true),
        ] {
            let kind = Kind::Other {
                file_type: FileType::Character,
                device: device.number(is_urandom),
                payload: Payload::Device(device),
            };
            self.add(path, New { kind, permissions: 0o666 });
        }
        self.link("/dev/fd", b"/proc/self/fd");
        self.link("/dev/stdin", b"/proc/self/fd/0");
        self.link("/dev/stdout", b"/proc/self/fd/1");
        self.link("/dev/stderr", b"/proc/self/fd/2");
    }

    fn add_proc(&mut self, start: &Start) {
        self.link("/proc/self", b"1");
        self.directory("/proc/1", 0o555);
        for (name, what) in [
            ("cmdline", Generated::CommandLine),
            ("environ", Generated::Environment),
            ("maps", Generated::Maps),
            ("smaps", Generated::SMaps),
            ("stat", Generated::Stat(None)),
            ("statm", Generated::StatM),
            ("status", Generated::Status(None)),
            ("comm", Generated::Comm(None)),
            ("limits", Generated::Limits),
            ("cgroup", Generated::Constant("0::/\n")),
            ("mountinfo", Generated::Constant("1 0 0:1 / / rw - rootfs rootfs rw\n")),
            (
                "mounts",
                Generated::Constant("rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\n"),
            ),
            ("oom_score", Generated::Constant("0\n")),
            ("oom_score_adj", Generated::Constant("0\n")),
            ("loginuid", Generated::Constant("4294967295\n")),
        ] {
            self.generated(&format!("/proc/1/{name}"), what);
        }
        self.link("/proc/1/exe", &start.program);
        self.link("/proc/1/root", b"/");
        for (path, directory) in [
            ("/proc/1/fd", DynamicDirectory::Descriptors),
            ("/proc/1/task", DynamicDirectory::Tasks),
            ("/proc/1/cwd", DynamicDirectory::Current),
            ("/proc/thread-self", DynamicDirectory::ThreadSelf),
        ] {
            self.dynamic(path, directory);
        }
        for (name, what) in [
            ("meminfo", Generated::MemInfo),
            ("cpuinfo", Generated::CpuInfo),
            ("stat", Generated::MachineStat),
            ("uptime", Generated::Uptime),
            ("loadavg", Generated::LoadAverage),
            ("version", Generated::Constant(concat!("Linux version ", crate::release!(), " (toro)\n"))),
            ("filesystems", Generated::Constant("nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\n")),
        ] {
            self.generated(&format!("/proc/{name}"), what);
        }
        self.link("/proc/mounts", b"self/mounts");
        for path in ["/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/random", "/proc/sys/vm", "/proc/sys/net"] {
            self.directory(path, 0o555);
        }
        for path in ["/proc/sys/net/core", "/proc/sys/net/ipv4", "/proc/sys/fs", "/proc/net"] {
            self.directory(path, 0o555);
        }
        self.generated("/proc/sys/kernel/hostname", Generated::Hostname);
        self.generated("/proc/sys/kernel/random/uuid", Generated::Uuid);
        for (path, text) in [
            ("/proc/sys/kernel/ostype", "Linux\n"),
            ("/proc/sys/kernel/osrelease", concat!(crate::release!(), "\n")),
            ("/proc/sys/kernel/pid_max", "4194304\n"),
            ("/proc/sys/kernel/threads-max", "65536\n"),
            ("/proc/sys/kernel/cap_last_cap", "40\n"),
            ("/proc/sys/kernel/ngroups_max", "65536\n"),
            ("/proc/sys/vm/overcommit_memory", "0\n"),
            ("/proc/sys/vm/max_map_count", "65530\n"),
            ("/proc/sys/net/core/somaxconn", "4096\n"),
            ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("/proc/sys/fs/file-max", "1048576\n"),
            ("/proc/sys/fs/nr_open", "1048576\n"),
            ("/proc/sys/fs/pipe-max-size", "1048576\n"),
        ] {
            self.constant(path, text);
        }
    }

    fn add_sys(&mut self) {
        for path in [
            "/sys/devices",
            "/sys/devices/system",
            "/sys/devices/system/cpu",
            "/sys/kernel",
            "/sys/kernel/mm",
            "/sys/kernel/mm/transparent_hugepage",
            "/sys/fs",
            "/sys/class",
            "/sys/class/net",
        ] {
            self.directory(path, 0o755);
        }
        for name in ["online", "possible", "present"] {
            self.generated(&format!("/sys/devices/system/cpu/{name}"), Generated::Processors);
        }
        for core in toro::thread::cores() {
            self.directory(&format!("/sys/devices/system/cpu/cpu{}", core.index()), 0o755);
        }
        for interface in interfaces::all() {
            let folder = format!("/sys/class/net/{}", interface.name);
            self.directory(&folder, 0o755);
            for (name, fact) in interfaces::FACTS {
                self.generated(&format!("{folder}/{name}"), Generated::Interface(interface.index, fact));
            }
        }
        self.constant("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    }
}
