//! The tree as a program sees it: each test is a few calls and what Linux answers.

use super::*;
use crate::errno::Errno;

#[derive(Debug)]
struct Text(&'static str);

impl Payload for Text {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

const NOW: Timespec = Timespec { seconds: 100, nanoseconds: 0 };
const LATER: Timespec = Timespec { seconds: 200, nanoseconds: 0 };
const USER: Who<'static> = Who { uid: 1000, gid: 1000, groups: &[7] };

struct World(Tree<Text>);

impl World {
    fn new() -> Self {
        World(Tree::new(NOW))
    }

    fn place(&self, path: &str, last: Last) -> Result<Place, Errno> {
        self.0.walk(self.0.root(), path.as_bytes(), last, Who::ROOT)?.place()
    }

    fn find(&self, path: &str) -> Result<NodeId, Errno> {
        self.place(path, Last::Follow)?.node.ok_or(Errno::NOENT)
    }

    fn mkdir(&mut self, path: &str) -> Result<NodeId, Errno> {
        let place = self.place(path, Last::Keep)?;
        self.0.create(&place, New::directory(0o755), Who::ROOT, LATER)
    }

    fn file(&mut self, path: &str, text: &'static str) -> Result<NodeId, Errno> {
        let place = self.place(path, Last::Follow)?;
        self.0.create(&place, New::file(FileType::Regular, 0o644, Text(text)), Who::ROOT, LATER)
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<NodeId, Errno> {
        let place = self.place(path, Last::Keep)?;
        self.0.create(&place, New::link(target.as_bytes()), Who::ROOT, LATER)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        self.rename_as(from, to, Exchange::Replace)
    }

    fn rename_as(&mut self, from: &str, to: &str, exchange: Exchange) -> Result<(), Errno> {
        let (from, to) = (self.place(from, Last::Keep)?, self.place(to, Last::Keep)?);
        self.0.rename(&from, &to, exchange, Who::ROOT, LATER)
    }

    fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        let place = self.place(path, Last::Keep)?;
        self.0.unlink(&place, Who::ROOT, LATER)
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        let place = self.place(path, Last::Keep)?;
        self.0.remove_directory(&place, Who::ROOT, LATER)
    }

    fn links(&self, path: &str) -> u32 {
        self.0.node(self.find(path).unwrap()).links
    }

    fn names(&self, path: &str) -> Vec<String> {
        let directory = self.find(path).unwrap();
        self.0.list(directory).map(|(name, _, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

#[test]
fn paths_lead_where_they_say() {
    let mut world = World::new();
    world.mkdir("/a").unwrap();
    let b = world.mkdir("/a/b/").unwrap();
    let file = world.file("a/b/f", "text").unwrap();
    for path in ["/a/b/f", "a//b/./f", "/../a/b/../b/f", "/a/b/f"] {
        assert_eq!(world.find(path), Ok(file), "{path}");
    }
    assert_eq!(world.find("/a/b/.."), world.find("/a"));
    assert_eq!(world.find("/"), Ok(world.0.root()));
    assert_eq!(world.find("/a/b/f/"), Err(Errno::NOTDIR));
    assert_eq!(world.find("/a/b/f/x"), Err(Errno::NOTDIR));
    assert_eq!(world.find("/x/y"), Err(Errno::NOENT));
    assert_eq!(world.find(""), Err(Errno::NOENT));
    assert_eq!(world.find(&"n".repeat(256)), Err(Errno::NAMETOOLONG));
    assert_eq!(world.0.path(b).as_deref(), Some(&b"/a/b"[..]));
    assert_eq!(world.0.node(file).bytes(), 4);
}

#[test]
fn links_are_followed_but_not_for_ever() {
    let mut world = World::new();
    world.mkdir("/a").unwrap();
    let file = world.file("/a/f", "").unwrap();
    let link = world.symlink("/l", "a/f").unwrap();
    world.symlink("/a/up", "../l").unwrap();
    world.symlink("/d", "/a/").unwrap();
    world.symlink("/loop", "loop").unwrap();
    world.symlink("/dangling", "a/new").unwrap();
    assert_eq!(world.find("/a/up"), Ok(file));
    assert_eq!(world.find("/d/up"), Ok(file));
    assert_eq!(world.place("/l", Last::Keep).unwrap().node, Some(link));
    assert_eq!(world.find("/loop"), Err(Errno::LOOP));
    assert_eq!(world.find("/loop/x"), Err(Errno::LOOP));
    assert_eq!(world.find("/dangling"), Err(Errno::NOENT));
    let made = world.file("/dangling", "").unwrap();
    assert_eq!(world.find("/a/new"), Ok(made), "what a link leads to is made");
    assert_eq!(world.place("/l/", Last::Keep), Err(Errno::NOTDIR));
}

#[test]
fn names_come_and_go() {
    let mut world = World::new();
    world.mkdir("/a").unwrap();
    assert_eq!(world.mkdir("/a"), Err(Errno::EXIST));
    assert_eq!(world.mkdir("/"), Err(Errno::EXIST));
    assert_eq!(world.file("/f/", ""), Err(Errno::NOENT));
    let file = world.file("/f", "").unwrap();
    let place = world.place("/a/g", Last::Keep).unwrap();
    world.0.link(file, &place, Who::ROOT, LATER).unwrap();
    assert_eq!((world.links("/f"), world.links("/"), world.links("/a")), (2, 3, 2));
    world.unlink("/f").unwrap();
    assert_eq!((world.unlink("/f"), world.unlink("/a")), (Err(Errno::NOENT), Err(Errno::ISDIR)));
    assert_eq!((world.rmdir("/a"), world.rmdir("/a/g")), (Err(Errno::NOTEMPTY), Err(Errno::NOTDIR)));
    assert_eq!((world.rmdir("/a/."), world.rmdir("/")), (Err(Errno::INVAL), Err(Errno::BUSY)));
    let count = world.0.count();
    world.unlink("/a/g").unwrap();
    world.rmdir("/a").unwrap();
    assert_eq!((world.links("/"), world.0.count()), (2, count - 2));
}

#[test]
fn what_is_held_stays_without_a_name() {
    let mut world = World::new();
    let file = world.file("/f", "text").unwrap();
    let directory = world.mkdir("/d").unwrap();
    world.0.hold(file);
    world.0.hold(directory);
    world.unlink("/f").unwrap();
    world.rmdir("/d").unwrap();
    assert_eq!((world.0.node(file).links, world.0.path(directory)), (0, None));
    let place = Place { parent: directory, name: b"x".to_vec(), node: None, slash: false };
    assert_eq!(world.0.create(&place, New::directory(0o755), Who::ROOT, NOW), Err(Errno::NOENT));
    world.0.release(file);
    world.0.release(directory);
    assert_eq!(world.0.count(), 1);
}

#[test]
fn renaming_replaces_refuses_and_swaps() {
    let mut world = World::new();
    world.mkdir("/a").unwrap();
    world.mkdir("/a/b").unwrap();
    world.mkdir("/c").unwrap();
    let file = world.file("/f", "f").unwrap();
    world.file("/g", "g").unwrap();
    world.rename("/f", "/g").unwrap();
    assert_eq!((world.find("/g"), world.find("/f")), (Ok(file), Err(Errno::NOENT)));
    assert_eq!(world.rename("/a", "/a/b/x"), Err(Errno::INVAL));
    assert_eq!(world.rename("/g", "/a"), Err(Errno::ISDIR));
    assert_eq!(world.rename("/a", "/g"), Err(Errno::NOTDIR));
    assert_eq!(world.rename("/c", "/a"), Err(Errno::NOTEMPTY));
    assert_eq!(world.rename("/g", "/h/"), Err(Errno::NOTDIR));
    assert_eq!(world.rename("/a/.", "/x"), Err(Errno::BUSY));
    assert_eq!(world.rename_as("/g", "/c", Exchange::Refuse), Err(Errno::EXIST));
    assert_eq!(world.rename_as("/g", "/x", Exchange::Swap), Err(Errno::NOENT));
    world.rename("/a", "/c").unwrap();
    assert_eq!((world.names("/"), world.names("/c"), world.links("/"), world.links("/c")), {
        (vec!["c".into(), "g".into()], vec!["b".into()], 3, 3)
    });
    world.rename("/c/b", "/b").unwrap();
    assert_eq!((world.links("/"), world.links("/c"), world.find("/b/..")), (4, 2, Ok(world.0.root())));
    world.rename_as("/g", "/c", Exchange::Swap).unwrap();
    assert_eq!(world.find("/c"), Ok(file));
    assert_eq!(world.0.node(world.find("/g").unwrap()).file_type(), FileType::Directory);
    world.rename("/c", "/c").unwrap();
}

#[test]
fn permissions_are_asked_of_everybody_but_root() {
    let mut world = World::new();
    world.mkdir("/tmp").unwrap();
    let tmp = world.find("/tmp").unwrap();
    world.0.node_mut(tmp).permissions = 0o1777;
    let file = world.file("/tmp/root", "").unwrap();
    world.mkdir("/closed").unwrap();
    let closed = world.find("/closed").unwrap();
    world.0.node_mut(closed).permissions = 0o700;
    let walk = |world: &World, path: &str| world.0.walk(world.0.root(), path.as_bytes(), Last::Keep, USER);
    assert_eq!(walk(&world, "/closed/x"), Err(Errno::ACCES));
    let place = walk(&world, "/tmp/mine").unwrap().place().unwrap();
    let mine = world.0.create(&place, New::directory(0o755), USER, NOW).unwrap();
    assert_eq!((world.0.node(mine).uid, world.0.node(mine).gid), (1000, 1000));
    let place = walk(&world, "/tmp/root").unwrap().place().unwrap();
    assert_eq!(world.0.unlink(&place, USER, NOW), Err(Errno::PERM), "sticky");
    let place = walk(&world, "/new").unwrap().place().unwrap();
    assert_eq!(world.0.create(&place, New::directory(0o755), USER, NOW), Err(Errno::ACCES));
    let node = world.0.node(file);
    assert_eq!(node.allows(USER, Access::READ), Ok(()));
    assert_eq!(node.allows(USER, Access::WRITE), Err(Errno::ACCES));
    assert_eq!(node.allows(Who::ROOT, Access::WRITE), Ok(()));
    assert_eq!(node.allows(Who::ROOT, Access::EXECUTE), Err(Errno::ACCES));
    world.0.node_mut(file).gid = 7;
    world.0.node_mut(file).permissions = 0o060;
    assert_eq!(world.0.node(file).allows(USER, Access::READ.and(Access::WRITE)), Ok(()), "by a further group");
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let mut world = World::new();
    world.mkdir("/v").unwrap();
    world.file("/v/f", "").unwrap();
    world.file("/g", "").unwrap();
    for path in ["/v", "/v/f"] {
        let node = world.find(path).unwrap();
        world.0.node_mut(node).read_only = true;
    }
    assert_eq!(world.file("/v/new", ""), Err(Errno::ROFS));
    assert_eq!(world.unlink("/v/f"), Err(Errno::ROFS));
    assert_eq!(world.rename("/v/f", "/v/g"), Err(Errno::ROFS));
    assert_eq!(world.rename("/v/f", "/h"), Err(Errno::XDEV));
    assert_eq!(world.rename("/g", "/v/g"), Err(Errno::XDEV));
}

#[test]
fn directories_that_are_made_up_are_the_callers() {
    let mut world = World::new();
    let place = world.place("/fd", Last::Keep).unwrap();
    let new = New { kind: Kind::Dynamic(3), permissions: 0o500 };
    let directory = world.0.create(&place, new, Who::ROOT, NOW).unwrap();
    let walk = |path: &str| world.0.walk(world.0.root(), path.as_bytes(), Last::Follow, Who::ROOT).unwrap();
    let dynamic = |rest: &str| Found::Dynamic(Dynamic { directory, which: 3, rest: rest.as_bytes().to_vec() });
    assert_eq!(walk("/fd/1"), dynamic("1"));
    assert_eq!(walk("/fd//1/x"), dynamic("1/x"));
    assert_eq!((walk("/fd"), walk("/fd/")), (dynamic(""), dynamic("")));
    assert_eq!((walk("/fd").node(), walk("/fd/1").node()), (Ok(directory), Err(Errno::NOENT)));
    assert_eq!(walk("/fd/1").place(), Err(Errno::PERM));
}
