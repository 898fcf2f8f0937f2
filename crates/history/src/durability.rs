//! The one seam through which hexwatch asks the disk to keep what was written. Everything below the
//! data folder goes through it, so that a test can put a disk in its place that forgets unsynced writes.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes files and folders survive a power loss.
pub trait Durability: fmt::Debug + Send + Sync {
    /// Returns when the content of `file`, which stands at `path`, is on the disk.
    fn sync_file(&self, path: &Path, file: &File) -> io::Result<()>;
    /// Returns when the names in `folder` are on the disk: a new file is only found again after this.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The real thing: fsync.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fsync;

impl Durability for Fsync {
    fn sync_file(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Creates `folder` and what lacks above it; each new name is synced in the folder that holds it.
pub(crate) fn create_folders(folder: &Path, durability: &dyn Durability) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folders(parent, durability)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    durability.sync_folder(parent.unwrap_or_else(|| Path::new(".")))
}
