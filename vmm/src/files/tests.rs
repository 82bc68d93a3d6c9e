//! Folders, archives and volumes as they come out in a module.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};
use toro_abi::module::{Contents, Module, Time};

fn packed(files: &Files) -> Vec<u8> {
    let mut bytes = Vec::new();
    files.write(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, files.module_bytes());
    bytes
}

/// `path mode contents` of all entries, contents of links behind an arrow.
fn listing(files: &Files) -> Vec<String> {
    let bytes = packed(files);
    let module = Module::parse(&bytes).unwrap();
    let line = |entry: toro_abi::module::Entry<'_>| {
        let contents = match entry.contents {
            Contents::Directory => "/".into(),
            Contents::File(file) => format!(" {}", file.data().escape_ascii()),
            Contents::Symlink(target) => format!(" -> {}", target.escape_ascii()),
        };
        format!("{}{contents}", entry.path.escape_ascii())
    };
    module.entries().skip(1).map(line).collect()
}

fn write(folder: &Path, path: &str, contents: &str) -> PathBuf {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, contents).unwrap();
    path
}

#[test]
fn a_folder_is_packed_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tool = write(folder.path(), "bin/tool", "x");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o4711)).unwrap();
    let moment = UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    std::fs::File::open(&tool).unwrap().set_modified(moment).unwrap();
    std::fs::hard_link(&tool, folder.path().join("again")).unwrap();
    symlink("bin/tool", folder.path().join("link")).unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let mut files = Files::new();
    files.add_root(folder.path()).unwrap();
    drop(socket);
    assert_eq!(listing(&files), ["again x", "bin/", "bin/tool x", "empty/", "link -> bin/tool"]);
    assert_eq!(files.skipped().iter().map(|skipped| skipped.what).collect::<Vec<_>>(), ["a socket"]);
    let bytes = packed(&files);
    let module = Module::parse(&bytes).unwrap();
    let metadata = module.find(b"bin/tool").unwrap().metadata;
    assert_eq!((metadata.mode, metadata.mtime), (0o4711, Time { seconds: 1_000_000_000, nanoseconds: 5 }));
    assert_eq!(metadata.uid, rustix::process::getuid().as_raw());
    assert_eq!(module.find(b"again").unwrap().contents, module.find(b"bin/tool").unwrap().contents);
}

#[test]
fn an_archive_is_packed_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut add = |kind: tar::EntryType, path: &str, link: &str, contents: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_uid(1000);
        header.set_gid(33);
        header.set_mtime(1_600_000_000);
        header.set_size(contents.len() as u64);
        match link {
            "" => archive.append_data(&mut header, path, contents.as_bytes()).unwrap(),
            link => archive.append_link(&mut header, path, link).unwrap(),
        }
    };
    add(tar::EntryType::Directory, "./usr/bin/", "", "");
    add(tar::EntryType::Symlink, "bin", "usr/bin", "");
    add(tar::EntryType::Regular, "bin/tool", "", "through the link");
    add(tar::EntryType::Link, "tool", "bin/tool", "");
    add(tar::EntryType::Char, "dev/null", "", "");
    add(tar::EntryType::Regular, &"long/".repeat(40), "", "");
    archive.finish().unwrap();
    let mut files = Files::new();
    files.add_root(&path).unwrap();
    let shown = listing(&files);
    let short: Vec<&str> = shown.iter().map(String::as_str).filter(|line| !line.contains("long")).collect();
    assert_eq!(short, ["bin -> usr/bin", "tool through the link", "usr/", "usr/bin/", "usr/bin/tool through the link"]);
    assert_eq!(files.skipped(), [Skipped { path: "dev/null".into(), what: "a device" }]);
    let bytes = packed(&files);
    let module = Module::parse(&bytes).unwrap();
    let metadata = module.find(b"tool").unwrap().metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid, metadata.mtime.seconds), (0o640, 1000, 33, 1_600_000_000));
    assert_eq!(module.find(b"tool").unwrap().contents, module.find(b"usr/bin/tool").unwrap().contents);
}

#[test]
fn what_tar_itself_makes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("deep/{}/file", "d".repeat(200));
    write(folder.path(), &format!("root/{long}"), "contents");
    write(folder.path(), "root/sparse", "");
    std::fs::File::options().write(true).open(folder.path().join("root/sparse")).unwrap().set_len(1 << 20).unwrap();
    for (format, is_sparse) in [("gnu", true), ("gnu", false), ("pax", false), ("pax", true)] {
        let archive = folder.path().join(format!("{format}.tar"));
        let mut command = std::process::Command::new("tar");
        command.args(is_sparse.then_some("--sparse")).arg(format!("--format={format}")).arg("-cf").arg(&archive);
        assert!(command.arg("-C").arg(folder.path().join("root")).arg(".").status().unwrap().success());
        let mut files = Files::new();
        if format == "pax" && is_sparse {
            let error = files.add_root(&archive).unwrap_err();
            assert!(error.message().contains("it is stored sparsely"), "{error}");
            continue;
        }
        files.add_root(&archive).unwrap();
        let (_, contents) = files.read(&format!("/{long}")).unwrap().unwrap();
        assert_eq!(contents, b"contents", "{format}");
        assert_eq!(files.read("/sparse").unwrap().unwrap().1, vec![0; 1 << 20]);
    }
}

#[test]
fn what_is_no_root_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        Files::new().add_root(&path).unwrap_err().to_string()
    };
    assert!(refusal("a.tar.gz", b"\x1f\x8b\x08\0").contains("`gunzip` makes a plain archive of it"));
    assert!(refusal("empty", b"").contains("it is empty, or no archive"));
    assert!(refusal("text", &b"text ".repeat(200)).contains("damaged, or no archive"));
    let missing = Files::new().add_root(&folder.path().join("gone")).unwrap_err();
    assert!(missing.message().contains("No such file") && missing.cure().unwrap().contains("--root"));
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..6].copy_from_slice(b"../out");
    header.set_size(0);
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let outside = refusal("outside.tar", &[header.as_bytes(), &[0; 1024][..]].concat());
    assert!(outside.contains("entry ../out: it leads out of the archive"), "{outside}");
}

#[test]
fn volumes_hide_what_is_there_and_are_read_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "root/srv/www/old", "old");
    symlink("srv/www", folder.path().join("root/site")).unwrap();
    write(folder.path(), "new/index", "new");
    let one = write(folder.path(), "one", "1");
    let mut files = Files::new();
    files.add_root(&folder.path().join("root")).unwrap();
    files.add_volume(&folder.path().join("new"), "/site/").unwrap();
    files.add_volume(&one, "/etc/app/config").unwrap();
    assert_eq!(
        listing(&files),
        ["etc/", "etc/app/", "etc/app/config 1", "site -> srv/www", "srv/", "srv/www/", "srv/www/index new"]
    );
    let bytes = packed(&files);
    let module = Module::parse(&bytes).unwrap();
    let read_only = |path: &[u8]| module.find(path).unwrap().metadata.is_read_only;
    assert!(read_only(b"srv/www") && read_only(b"srv/www/index") && read_only(b"etc/app/config"));
    assert!(!read_only(b"srv") && !read_only(b"etc/app"));
    let error = |from: &Path, to: &str| files_error(&mut Files::new(), from, to);
    assert!(error(&one, "/").contains("the root itself") && error(&one, "etc").contains("does not begin with `/`"));
    assert!(error(&folder.path().join("gone"), "/x").contains("No such file"));
    assert!(error(Path::new("/dev/null"), "/x").contains("it is a device, not a file"));
}

fn files_error(files: &mut Files, from: &Path, to: &str) -> String {
    files.add_volume(from, to).unwrap_err().to_string()
}

#[test]
fn programs_are_found_as_a_shell_would() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "usr/bin/tool", "tool");
    write(folder.path(), "opt/run", "run");
    symlink("/usr/bin", folder.path().join("bin")).unwrap();
    symlink("../bin/../../../bin/tool", folder.path().join("opt/tool")).unwrap();
    symlink("loop", folder.path().join("loop")).unwrap();
    let mut files = Files::new();
    files.add_root(folder.path()).unwrap();
    let find = |name: &str| files.find_program(name, "/opt/", "/sbin:bin:/bin:/usr/bin");
    assert_eq!(find("tool").as_deref(), Some("/bin/tool"));
    assert_eq!(find("./run").as_deref(), Some("/opt/./run"));
    assert_eq!(find("/opt/tool").as_deref(), Some("/opt/tool"));
    assert_eq!(files.read("/opt/tool").unwrap().unwrap().1, b"tool", "links stay in the root");
    for name in ["run", "/bin", "/loop", "/loop/x", "/nothing", "", "./tool/x"] {
        assert_eq!(find(name), None, "{name}");
    }
    assert_eq!(files.make_directory("/var/lib/app"), Ok(()));
    assert_eq!(files.make_directory("/opt"), Ok(()));
    assert!(files.make_directory("/opt/run").unwrap_err().message().contains("no directory"));
}

#[test]
fn a_program_of_the_host_has_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let program = write(folder.path(), "server", "ELF");
    let mut files = Files::new();
    assert_eq!(files.add_program(&program).unwrap(), "/app/server");
    assert_eq!(listing(&files), ["app/", "app/server ELF"]);
    std::fs::write(&program, "").unwrap();
    let error = files.module().unwrap_err();
    assert!(error.message().contains("server became shorter while it was read"), "{error}");
    std::fs::remove_file(&program).unwrap();
    assert!(files.module().unwrap_err().message().contains("No such file"));
    assert_eq!(files.add_program(&program).unwrap_err().status(), 126);
}
