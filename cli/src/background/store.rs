//! The folder of all guests in the background, one folder each. Whoever holds a guest's lock is its process: a lock ends with
//! its holder, however that ends, so what a crash leaves behind is recognised by whoever looks next.

use super::names;
use super::state::State;
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use toro_vmm::Error;

const LOCK: &str = "lock";
/// How many ended guests are remembered; a new guest has the oldest forgotten.
const ENDED_MAX: usize = 16;
/// How many names are made up before giving up.
const ATTEMPTS_MAX: u32 = 64;

/// The folder of all guests.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// A guest that this process watches. Dropping it, or the end of the process, tells everybody that it is over.
#[derive(Debug)]
pub(crate) struct Claim {
    entry: Entry,
    _lock: File,
}

/// A guest in the store.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    name: String,
    folder: PathBuf,
}

impl Store {
    /// `$XDG_RUNTIME_DIR/toro`; without that variable `/run/user/UID/toro`, or a folder of one's own in `/tmp`.
    pub(crate) fn open() -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let set = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
        let by_system = PathBuf::from(format!("/run/user/{uid}"));
        let folder = match set {
            Some(folder) if folder.is_dir() && folder.is_absolute() => folder.join("toro"),
            Some(folder) => {
                return Err(Error::new(format!("cannot use XDG_RUNTIME_DIR={}: it is no folder", folder.display()))
                    .help("unset it, or set it to a folder of yours"));
            }
            None if by_system.metadata().is_ok_and(|it| it.is_dir() && it.uid() == uid) => by_system.join("toro"),
            None => PathBuf::from(format!("/tmp/toro-{uid}")),
        };
        Self::at(folder, uid)
    }

    fn at(folder: PathBuf, uid: u32) -> Result<Self, Error> {
        let shown = folder.display();
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::new(format!("cannot make folder {shown}: {error}"))
                    .help("set XDG_RUNTIME_DIR to a folder of yours"));
            }
            _ => {}
        }
        // Whoever else could write here could have us believe anything.
        let there = folder.symlink_metadata();
        let there = there.map_err(|error| Error::new(format!("cannot look at folder {shown}: {error}")))?;
        let why = match there.mode() & 0o077 {
            _ if !there.is_dir() => "it is no folder",
            _ if there.uid() != uid => "it belongs to somebody else",
            1.. => "others may enter it",
            0 => return Ok(Self { folder }),
        };
        Err(Error::new(format!("cannot keep guests in {shown}: {why}"))
            .help("remove it, or set XDG_RUNTIME_DIR to a folder of yours"))
    }

    /// Held for moments only, by whoever takes, looks at, or removes guests.
    fn lock(&self) -> Result<File, Error> {
        let path = self.folder.join(".lock");
        let failed = |error: std::io::Error| Error::new(format!("cannot lock {}: {error}", path.display()));
        let file = open_lock(&path).map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    fn entry(&self, name: &str) -> Entry {
        Entry { name: name.into(), folder: self.folder.join(name) }
    }

    /// Fails when a guest of that name runs.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), Error> {
        names::check(name)?;
        let _lock = self.lock()?;
        if self.entry(name).is_alive() { Err(taken(name)) } else { Ok(()) }
    }

    /// Takes a name, that of an ended guest as well, or makes one up.
    pub(crate) fn claim(&self, name: Option<&str>) -> Result<Claim, Error> {
        if let Some(name) = name {
            names::check(name)?;
        }
        let _lock = self.lock()?;
        let claim = match name {
            Some(name) => self.try_claim(name)?.ok_or_else(|| taken(name))?,
            None => {
                // One that is remembered is not taken from whoever may still want to read its log.
                let mut unused = (0..ATTEMPTS_MAX).map(names::make_up).filter(|name| !self.entry(name).folder.exists());
                let name = unused.next().ok_or_else(|| Error::new("cannot make up a name").help("--name NAME"))?;
                self.try_claim(&name)?.ok_or_else(|| taken(&name))?
            }
        };
        self.forget_oldest(claim.name());
        Ok(claim)
    }

    fn try_claim(&self, name: &str) -> Result<Option<Claim>, Error> {
        let entry = self.entry(name);
        let failed =
            |error: std::io::Error| Error::new(format!("cannot use folder {}: {error}", entry.folder.display()));
        match DirBuilder::new().mode(0o700).create(&entry.folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let Some(lock) = entry.try_lock().map_err(failed)? else { return Ok(None) };
        for file in entry.folder.read_dir().map_err(failed)? {
            let file = file.map_err(failed)?;
            if file.file_name() != LOCK {
                std::fs::remove_file(file.path()).map_err(failed)?;
            }
        }
        Ok(Some(Claim { entry, _lock: lock }))
    }

    /// Guests that ended long ago make room. What cannot be removed stays.
    fn forget_oldest(&self, but: &str) {
        let mut ended: Vec<_> =
            self.settled().into_iter().filter(|(entry, state)| entry.name != but && state.has_ended()).collect();
        ended.sort_by_key(|(_, state)| std::cmp::Reverse(state.started_ms()));
        for (entry, _) in ended.iter().skip(ENDED_MAX) {
            let _removed = std::fs::remove_dir_all(&entry.folder);
        }
    }

    /// All guests, the oldest first. Those whose process was killed are ended ones from here on.
    pub(crate) fn list(&self) -> Result<Vec<(Entry, State)>, Error> {
        let _lock = self.lock()?;
        let mut all = self.settled();
        all.sort_by(|(a, one), (b, other)| (one.started_ms(), &a.name).cmp(&(other.started_ms(), &b.name)));
        Ok(all)
    }

    fn settled(&self) -> Vec<(Entry, State)> {
        let names = self.folder.read_dir().into_iter().flatten().flatten();
        let names =
            names.filter_map(|file| file.file_name().into_string().ok()).filter(|name| names::check(name).is_ok());
        names
            .filter_map(|name| Some(self.entry(&name)).and_then(|entry| entry.settle().map(|state| (entry, state))))
            .collect()
    }

    /// The guest of that name.
    pub(crate) fn find(&self, name: &str) -> Result<(Entry, State), Error> {
        let none = || Error::new(format!("there is no guest `{name}`")).help("`toro ps -a` lists all");
        names::check(name).map_err(|_| none())?;
        let _lock = self.lock()?;
        let entry = self.entry(name);
        entry.settle().map(|state| (entry, state)).ok_or_else(none)
    }

    /// Forgets a guest that has ended.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let (entry, _) = self.find(name)?;
        let _lock = self.lock()?;
        if entry.is_alive() {
            return Err(Error::new(format!("cannot remove {name}: it runs")).help(format!("`toro stop {name}` first")));
        }
        std::fs::remove_dir_all(&entry.folder).map_err(|error| Error::new(format!("cannot remove {name}: {error}")))
    }

    /// Whether the guest's process lives.
    pub(crate) fn is_alive(&self, entry: &Entry) -> Result<bool, Error> {
        let _lock = self.lock()?;
        Ok(entry.is_alive())
    }
}

impl Entry {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `None` when somebody holds it.
    fn try_lock(&self) -> std::io::Result<Option<File>> {
        let file = open_lock(&self.folder.join(LOCK))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_alive(&self) -> bool {
        self.folder.is_dir() && matches!(self.try_lock(), Ok(None))
    }

    /// Its state; one that was left behind by a process that was killed is corrected. `None`: nothing was ever started here.
    fn settle(&self) -> Option<State> {
        let is_alive = self.is_alive();
        let Some(mut state) = State::load(&self.folder) else {
            if !is_alive {
                let _removed = std::fs::remove_dir_all(&self.folder);
            }
            return None;
        };
        if !is_alive && !state.has_ended() {
            state.lose();
            // What cannot be written is found out again by the next who looks.
            let _stored = state.store(&self.folder);
        }
        Some(state)
    }
}

impl Claim {
    pub(crate) fn folder(&self) -> &Path {
        self.entry.folder()
    }

    pub(crate) fn name(&self) -> &str {
        self.entry.name()
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn taken(name: &str) -> Error {
    Error::new(format!("cannot start {name}: a guest of this name runs"))
        .help(format!("choose another --name, or end it: toro stop {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("toro"), uid()).unwrap();
        (folder, store)
    }

    fn end(claim: Claim) {
        let mut state = State::new(claim.name());
        state.end(json!({ "status": 0, "kind": "exit" }));
        state.store(claim.folder()).unwrap();
    }

    #[test]
    fn a_name_is_taken_while_its_guest_runs() {
        let (_folder, store) = store();
        let claim = store.claim(Some("web")).unwrap();
        let error = store.claim(Some("web")).unwrap_err();
        assert!(error.message().contains("of this name runs") && error.cure().unwrap().contains("toro stop web"));
        assert!(store.check_free("web").is_err() && store.remove("web").is_err());
        std::fs::write(claim.folder().join("log"), "old").unwrap();
        end(claim);
        let again = store.claim(Some("web")).unwrap();
        assert!(!again.folder().join("log").exists(), "nothing of the old one is left");
    }

    #[test]
    fn what_a_crash_left_behind_has_ended() {
        let (_folder, store) = store();
        let claim = store.claim(Some("web")).unwrap();
        State::new("web").store(claim.folder()).unwrap();
        assert_eq!(store.list().unwrap()[0].1.stage(), "starting");
        drop(claim);
        assert_eq!(store.find("web").unwrap().1.outcome_text(), "lost (125)");
        // One that had not even said anything leaves nothing.
        drop(store.claim(Some("other")).unwrap());
        assert!(store.find("other").is_err());
        store.remove("web").unwrap();
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn ended_guests_are_remembered_up_to_a_limit() {
        let (_folder, store) = store();
        for number in 0..ENDED_MAX + 3 {
            end(store.claim(Some(&format!("guest-{number}"))).unwrap());
        }
        let made_up = store.claim(None).unwrap();
        State::new(made_up.name()).store(made_up.folder()).unwrap();
        assert_eq!(store.list().unwrap().len(), ENDED_MAX + 1);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toro");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = |path: &Path, uid| Store::at(path.into(), uid).unwrap_err().message().to_owned();
        assert!(refused(&path, uid()).ends_with("others may enter it"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(refused(&path, uid() + 1).ends_with("it belongs to somebody else"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refused(&link, uid()).ends_with("it is no folder"));
        assert!(Store::at(path, uid()).is_ok());
    }
}
