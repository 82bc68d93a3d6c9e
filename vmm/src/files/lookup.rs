//! Paths of the guest: links followed, as the guest will follow them, within its root.

use super::Files;
use toro_abi::module::PATH_BYTES_MAX;

/// Links followed on one path, as Linux has it.
const LINKS_MAX: usize = 40;

impl Files {
    /// What is at an absolute path; `None` when there is nothing.
    pub(super) fn resolve(&self, path: &str) -> Option<Vec<u8>> {
        self.place(path).ok().filter(|place| self.tree.contains(place))
    }

    /// Where something at an absolute path is, or would be.
    pub(super) fn place(&self, path: &str) -> Result<Vec<u8>, String> {
        let path = path.strip_prefix('/').ok_or_else(|| format!("{path} does not begin with `/`"))?;
        self.place_of(path.as_bytes())
    }

    /// The same, of a path that begins in the root.
    pub(super) fn place_of(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        let mut place: Vec<u8> = Vec::new();
        let mut links = 0;
        // What is left to do, its first part last.
        let mut parts: Vec<Vec<u8>> = parts_of(path);
        while let Some(part) = parts.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    let end = place.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    place.truncate(end);
                    continue;
                }
                _ => {}
            }
            let before = place.len();
            if !place.is_empty() {
                place.push(b'/');
            }
            place.extend_from_slice(&part);
            if let Some(target) = self.tree.target(&place) {
                links += 1;
                let is_endless = links > LINKS_MAX || parts.len() > PATH_BYTES_MAX;
                if is_endless {
                    return Err("too many links lead to each other".into());
                }
                place.truncate(if target.starts_with(b"/") { 0 } else { before });
                parts.extend(parts_of(target));
            }
        }
        Ok(place)
    }

    /// The absolute path of a program in the root: one with a slash begins in the directory `workdir`, one without is looked
    /// for in the directories of `search`, which stand between colons.
    pub fn find_program(&self, name: &str, workdir: &str, search: &str) -> Option<String> {
        let is_file = |path: &String| self.resolve(path).is_some_and(|place| self.tree.source(&place).is_some());
        let join = |directory: &str| format!("{}/{name}", directory.trim_end_matches('/'));
        if name.starts_with('/') {
            Some(name.to_owned()).filter(is_file)
        } else if name.contains('/') {
            Some(join(workdir)).filter(is_file)
        } else {
            search.split(':').filter(|directory| directory.starts_with('/')).map(join).find(is_file)
        }
    }
}

fn parts_of(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect()
}
