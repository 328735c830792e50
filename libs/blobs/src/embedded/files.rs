//! Objects as files: `<root>/<bucket>/<key>`.
//!
//! A file is the object's bytes followed by a trailer of [`TRAILER_BYTES`] with its type and digest, so that both come
//! and go together. An upload is written below `.incoming`, synced to the disk and then renamed into place: readers see
//! a whole object or none, whatever crashes. Bucket names cannot begin with a dot, so the two never meet.

use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter, SeekFrom};

const TRAILER_BYTES: usize = 1024;
const MAGIC: &[u8; 8] = b"KINORAO1";
const WRITE_BUFFER_BYTES: usize = 1 << 18;
const MAX_SEGMENT_BYTES: usize = 255;
/// A delete may remove a folder that a put has just made; the put then makes it again, this often.
const MAX_RENAME_TRIES: usize = 8;

/// What an object carries besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attributes {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// MD5 of the bytes in hexadecimal, as S3's ETag.
    pub md5: String,
}

/// An object opened for reading, positioned at its first byte.
pub(super) struct StoredObject {
    pub file: File,
    pub size: u64,
    pub modified: SystemTime,
    pub attributes: Attributes,
}

/// One line of a listing.
pub(super) struct ListedObject {
    pub key: String,
    pub size: u64,
    pub modified: SystemTime,
}

/// The folder of an object store; held by one process at a time.
pub(super) struct ObjectFiles {
    root: PathBuf,
    next_incoming: AtomicU64,
    /// Locked for as long as this lives.
    _lock: std::fs::File,
}

impl ObjectFiles {
    /// Opens the folder, creates it when missing, and removes unfinished uploads; `None` when another process has it.
    pub fn open(root: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let lock = std::fs::File::create(root.join(".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let incoming = root.join(".incoming");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        std::fs::create_dir(&incoming)?;
        Ok(Some(Self {
            root,
            next_incoming: AtomicU64::new(0),
            _lock: lock,
        }))
    }

    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.root.join(bucket).is_dir()
    }

    /// Creates a bucket; fails with `AlreadyExists` when it is there.
    pub fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        std::fs::create_dir(self.root.join(bucket))?;
        sync_folder(&self.root)
    }

    /// Begins an upload, which nobody sees before [`commit`](Self::commit).
    pub async fn begin(&self) -> io::Result<Incoming> {
        let number = self.next_incoming.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(".incoming").join(number.to_string());
        let file = File::create_new(&path).await?;
        Ok(Incoming {
            path,
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
        })
    }

    /// Puts an upload in its place, over what was there; on the disk when this returns.
    pub async fn commit(
        &self,
        mut incoming: Incoming,
        bucket: &str,
        key: &str,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let target = self
            .path_of(bucket, key)
            .ok_or(ErrorKind::InvalidFilename)?;
        incoming.file.write_all(&trailer(attributes)?).await?;
        incoming.file.flush().await?;
        incoming.file.get_ref().sync_all().await?;
        let bucket = self.root.join(bucket);
        blocking(move || rename_into(&incoming.path, &target, &bucket)).await
    }

    /// Opens an object; `None` when there is none.
    pub async fn read(&self, bucket: &str, key: &str) -> io::Result<Option<StoredObject>> {
        let Some(path) = self.path_of(bucket, key) else {
            return Ok(None);
        };
        let mut file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata().await?;
        let size = metadata.len().checked_sub(TRAILER_BYTES as u64);
        let Some(size) = size.filter(|_| metadata.is_file()) else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(size)).await?;
        let mut end = vec![0; TRAILER_BYTES];
        file.read_exact(&mut end).await?;
        file.seek(SeekFrom::Start(0)).await?;
        let attributes = attributes_in(&end)?;
        Ok(Some(StoredObject {
            file,
            size,
            modified: metadata.modified()?,
            attributes,
        }))
    }

    /// Deletes an object if it is there, and the folders that this leaves empty.
    pub async fn delete(&self, bucket: &str, key: &str) -> io::Result<()> {
        let Some(path) = self.path_of(bucket, key) else {
            return Ok(());
        };
        let bucket = self.root.join(bucket);
        blocking(move || delete_below(&path, &bucket)).await
    }

    /// Lists the objects whose key begins with `prefix`, in the order of their keys.
    pub async fn list(&self, bucket: &str, prefix: &str) -> io::Result<Vec<ListedObject>> {
        let bucket = self.root.join(bucket);
        let prefix = prefix.to_owned();
        blocking(move || list_below(&bucket, &prefix)).await
    }

    /// The file of a key; `None` for keys that name no file or one elsewhere.
    fn path_of(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let names_a_file = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.len() <= MAX_SEGMENT_BYTES
        };
        let is_valid = !bucket.contains('/')
            && !bucket.starts_with('.')
            && key.split('/').all(names_a_file)
            && !key.chars().any(char::is_control);
        is_valid.then(|| self.root.join(bucket).join(key))
    }
}

/// An upload under way; dropping it removes its file.
pub(super) struct Incoming {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Incoming {
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After a commit the name is gone already; a name that stays is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn trailer(attributes: &Attributes) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(attributes)?;
    if bytes.len() > TRAILER_BYTES - MAGIC.len() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "the object's headers are too long",
        ));
    }
    bytes.resize(TRAILER_BYTES - MAGIC.len(), b' ');
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

fn attributes_in(end: &[u8]) -> io::Result<Attributes> {
    let text = end
        .strip_suffix(MAGIC)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the file is not an object"))?;
    Ok(serde_json::from_slice(text)?)
}

fn rename_into(source: &Path, target: &Path, bucket: &Path) -> io::Result<()> {
    let folder = target.parent().ok_or(ErrorKind::InvalidFilename)?;
    for _ in 0..MAX_RENAME_TRIES {
        if !bucket.is_dir() {
            return Err(ErrorKind::NotFound.into());
        }
        std::fs::create_dir_all(folder)?;
        match std::fs::rename(source, target) {
            Ok(()) => return sync_folders(folder, bucket),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(
        "the object's folder is deleted again and again",
    ))
}

/// Makes the names in a folder, and in those above it up to the bucket, survive a power loss.
fn sync_folders(folder: &Path, bucket: &Path) -> io::Result<()> {
    for folder in folder
        .ancestors()
        .take_while(|folder| folder.starts_with(bucket))
    {
        match sync_folder(folder) {
            // A delete beside us took it, and the object with it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn delete_below(path: &Path, bucket: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    for folder in path
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != bucket)
    {
        // Fails, as it should, for a folder that still holds something.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Whether an error means that no object has that name; a folder of other objects has none itself.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

/// Walks only the folder that the prefix leads into.
fn list_below(bucket: &Path, prefix: &str) -> io::Result<Vec<ListedObject>> {
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    if !folder.is_empty()
        && folder
            .split('/')
            .any(|name| matches!(name, "" | "." | ".."))
    {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut open_folders = vec![bucket.join(folder)];
    while let Some(folder) = open_folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open_folders.push(entry.path());
            } else if let Some(object) = listed(bucket, &entry)? {
                found.push(object);
            }
        }
    }
    found.retain(|object| object.key.starts_with(prefix));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

fn listed(bucket: &Path, entry: &std::fs::DirEntry) -> io::Result<Option<ListedObject>> {
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = entry.path();
    let key = path.strip_prefix(bucket).ok().and_then(Path::to_str);
    let size = metadata
        .len()
        .checked_sub(TRAILER_BYTES as u64)
        .filter(|_| metadata.is_file());
    let (Some(key), Some(size)) = (key, size) else {
        return Ok(None);
    };
    Ok(Some(ListedObject {
        key: key.to_owned(),
        size,
        modified: metadata.modified()?,
    }))
}
