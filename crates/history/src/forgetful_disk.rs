//! A disk that forgets what nobody synced, as a power loss makes it do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::durability::Durability;

/// Remembers what each file held when it was last synced, and which names each folder had.
#[derive(Debug, Default)]
pub(crate) struct ForgetfulDisk(Mutex<Synced>);

#[derive(Debug, Default)]
struct Synced {
    /// By inode; the open file keeps the number from being given to another.
    contents: HashMap<u64, (Vec<u8>, File)>,
    folders: HashMap<PathBuf, Names>,
}

/// The inode behind each name; none behind a folder.
type Names = BTreeMap<OsString, Option<u64>>;

impl Durability for ForgetfulDisk {
    fn sync_file(&self, path: &Path, file: &File) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        self.0.lock().unwrap().contents.insert(inode, (fs::read(path)?, file.try_clone()?));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let names = names_in(folder)?;
        self.0.lock().unwrap().folders.insert(folder.to_owned(), names);
        Ok(())
    }
}

fn names_in(folder: &Path) -> io::Result<Names> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        names.insert(entry.file_name(), metadata.is_file().then(|| metadata.ino()));
    }
    Ok(names)
}

impl ForgetfulDisk {
    /// A disk that holds what stands in `folder`, for good.
    pub(crate) fn holding(folder: &Path) -> Self {
        let disk = Self::default();
        disk.sync_all(folder);
        disk
    }

    fn sync_all(&self, folder: &Path) {
        for (name, inode) in names_in(folder).unwrap() {
            let path = folder.join(name);
            match inode {
                Some(_) => self.sync_file(&path, &File::open(&path).unwrap()).unwrap(),
                None => self.sync_all(&path),
            }
        }
        self.sync_folder(folder).unwrap();
    }

    /// What is left of `folder` after the power has gone, in a folder of its own.
    pub(crate) fn power_loss(&self, folder: &Path) -> TempDir {
        let left = TempDir::new().unwrap();
        self.0.lock().unwrap().restore(folder, left.path());
        left
    }

    /// The same where the disk has kept some of what nobody asked it to keep: names or not, contents whole, torn, or of
    /// the right length and without their bytes.
    pub(crate) fn power_loss_by_chance(&self, folder: &Path, chance: &mut Chance) -> TempDir {
        let left = TempDir::new().unwrap();
        self.0.lock().unwrap().restore_by_chance(folder, left.path(), chance);
        left
    }
}

impl Synced {
    fn restore(&self, folder: &Path, to: &Path) {
        for (name, inode) in self.folders.get(folder).into_iter().flatten() {
            if let Some(inode) = inode {
                // The name is there; a content that was never synced is empty.
                fs::write(to.join(name), self.content(*inode)).unwrap();
            } else {
                fs::create_dir(to.join(name)).unwrap();
                self.restore(&folder.join(name), &to.join(name));
            }
        }
    }

    fn content(&self, inode: u64) -> &[u8] {
        self.contents.get(&inode).map_or(&[][..], |(content, _)| content)
    }

    fn restore_by_chance(&self, folder: &Path, to: &Path, chance: &mut Chance) {
        let empty = Names::new();
        let synced = self.folders.get(folder).unwrap_or(&empty);
        let now = names_in(folder).unwrap_or_default();
        let names: BTreeSet<&OsString> = synced.keys().chain(now.keys()).collect();
        for name in names {
            let kept = match (synced.get(name), now.get(name)) {
                (Some(before), Some(after)) if before == after => Some(before),
                // Renamed over, removed or added, and the folder not synced since: either may be there.
                (before, after) => {
                    if chance.happens() {
                        before
                    } else {
                        after
                    }
                }
            };
            match kept {
                Some(Some(inode)) => {
                    let content = self.content_by_chance(*inode, &folder.join(name), chance);
                    fs::write(to.join(name), content).unwrap();
                }
                Some(None) => {
                    fs::create_dir(to.join(name)).unwrap();
                    self.restore_by_chance(&folder.join(name), &to.join(name), chance);
                }
                None => {}
            }
        }
    }

    /// What was synced, with some of what was written behind it since.
    fn content_by_chance(&self, inode: u64, path: &Path, chance: &mut Chance) -> Vec<u8> {
        let synced = self.content(inode);
        let is_it = fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode);
        let written = if is_it { fs::read(path).unwrap() } else { Vec::new() };
        let Some(added) = written.strip_prefix(synced).filter(|added| !added.is_empty()) else {
            return synced.to_vec();
        };
        let kept = usize::try_from(chance.below(added.len() as u64 + 1)).unwrap();
        let mut content = [synced, &added[..kept]].concat();
        if chance.happens() {
            // The length was written, the bytes were not.
            content.resize(written.len(), 0);
        }
        content
    }
}

/// Chance that comes out the same from the same seed.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn happens(&mut self) -> bool {
        self.below(2) == 0
    }
}
