//! The object store under all tables: a local file system whose writes survive a power loss. The store
//! it wraps never fsyncs, so that after a power loss the newest log entry of a table can be empty (its
//! rows are silently gone) or torn (the table cannot be read).
//!
//! A file is written aside, synced, given its name, and then its folder is synced: whoever finds the name
//! finds the whole content. Deletions are not synced; one that comes undone leaves a file nobody names.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::durability::{Durability, create_folders};

/// A local file system, addressed from its root, that keeps what it has acknowledged.
#[derive(Clone, Debug)]
pub struct DurableStore {
    files: LocalFileSystem,
    durability: Arc<dyn Durability>,
    staged: Arc<AtomicU64>,
}

impl DurableStore {
    /// A store over the whole local file system.
    #[must_use]
    pub fn new(durability: Arc<dyn Durability>) -> Self {
        Self { files: LocalFileSystem::new(), durability, staged: Arc::default() }
    }

    /// Beside `path`, under a name that listings leave out (`#` and digits).
    fn staging_path(&self, path: &FsPath) -> PathBuf {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}{number:06}", std::process::id()));
        PathBuf::from(name)
    }

    async fn sync_written(&self, location: &Path) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        let durability = self.durability.clone();
        blocking(move || {
            durability.sync_file(&path, &File::open(&path)?)?;
            durability.sync_folder(folder_of(&path))
        })
        .await
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DurableStore({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return self.files.put_opts(location, payload, options).await;
        }
        let path = self.files.path_to_filesystem(location)?;
        let staging = self.staging_path(&path);
        let durability = self.durability.clone();
        blocking(move || {
            create_folders(folder_of(&path), &*durability)?;
            let written = write_aside(&staging, &payload, &*durability).and_then(|()| match options.mode {
                PutMode::Create => fs::hard_link(&staging, &path),
                _ => fs::rename(&staging, &path),
            });
            // After a rename there is nothing left to remove; after a link or a failure there may be.
            let _ = fs::remove_file(&staging);
            written?;
            durability.sync_folder(folder_of(&path))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.files.path_to_filesystem(location)?;
        let durability = self.durability.clone();
        blocking(move || create_folders(folder_of(&path), &*durability)).await?;
        let upload = self.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { upload, store: self.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        self.sync_written(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await?;
        self.sync_written(to).await?;
        // Or the old name could come back beside the new one.
        let from = self.files.path_to_filesystem(from)?;
        let durability = self.durability.clone();
        blocking(move || durability.sync_folder(folder_of(&from))).await
    }
}

#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    store: DurableStore,
    location: Path,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        self.store.sync_written(&self.location).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

fn write_aside(staging: &FsPath, payload: &PutPayload, durability: &dyn Durability) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(staging)?;
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    durability.sync_file(staging, &file)
}

fn folder_of(path: &FsPath) -> &FsPath {
    path.parent().unwrap_or(path)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::AlreadyExists { path: String::new(), source: error.into() })
        }
        Ok(Err(error)) => Err(Error::Generic { store: "durable store", source: error.into() }),
        Err(source) => Err(Error::JoinError { source }),
    }
}
