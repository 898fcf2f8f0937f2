//! The alarm log: every change of every alarm, on the disk before anybody hears of it.
//!
//! Append-only segments (`00000000000000000001.log`, ...) of checksummed records. An append returns after
//! the file, and on its creation the folder, is synced; a change that was appended is never lost. Opening
//! after a crash cuts a torn tail off: bytes of an append that never returned. Anything broken that is
//! followed by a whole record is damage, not a torn tail, and is refused, as is a gap in a site's numbers.
//!
//! Nothing is ever cut from the front: a change is about 1 KiB, so two years of 500 a day are some 400 MB.
//! A segment whose changes all stand in `alarm_changes` could be dropped one day; then the numbers of a
//! site would begin above 1, which opening refuses today.

mod index;
mod record;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hexwatch_contract::alarm::Alarm;
use hexwatch_contract::{Classified, Fault};

use self::index::{Index, Place};
use self::record::Found;
use crate::durability::{Durability, create_folders};
use crate::failpoints::{Failpoints, NoFailpoints, Point, Step};

const MAGIC: &[u8; 8] = b"HXALARM1";
/// A new segment is begun behind this many bytes.
const SEGMENT_BYTES: u64 = 64 << 20;

type Result<T> = std::result::Result<T, AlarmLogError>;

/// What can go wrong with the alarm log.
#[derive(Debug, thiserror::Error)]
pub enum AlarmLogError {
    /// The disk refused.
    #[error("{action} the alarm log's `{}`: {source}; check the disk, then restart", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was acknowledged is damaged.
    #[error("the alarm log's `{}` is damaged at byte {offset}: {reason}; restore the file from a backup", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A site's numbers must follow each other.
    #[error("the changes of site `{site}` go on with number {expected}, not {found}")]
    Gap {
        /// The site.
        site: String,
        /// The number that is due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// One append is too large.
    #[error("{changes} changes at once are more than a record of the alarm log holds; append fewer")]
    TooLarge {
        /// How many were appended.
        changes: usize,
    },
    /// A change that cannot be written as JSON.
    #[error("encoding an alarm for the alarm log: {0}")]
    Encode(#[source] serde_json::Error),
}

impl Classified for AlarmLogError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Damaged { .. } => Fault::External,
            Self::Gap { .. } | Self::TooLarge { .. } | Self::Encode(_) => Fault::Bug,
        }
    }

    fn retry(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// What opening found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AlarmLogRecovery {
    /// How many changes the log holds.
    pub changes: u64,
    /// How many bytes of an append that never returned were cut off.
    pub torn_bytes: u64,
}

/// The log. Shared between the pipeline, which appends, and the server, which reads.
#[derive(Debug)]
pub struct AlarmLog {
    folder: PathBuf,
    durability: Arc<dyn Durability>,
    failpoints: Arc<dyn Failpoints>,
    segment_bytes: u64,
    /// A mutex, not a queue: an append is one sync, and its caller must not go on before it has returned.
    tail: Mutex<Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    index: Index,
    segment: u64,
    length: u64,
    file: Option<File>,
    /// Whether an append failed, so that what is behind `length` counts for nothing.
    torn: bool,
}

impl AlarmLog {
    /// Opens the log in `folder`, creating it where it lacks, and cuts off a torn tail.
    pub fn open(folder: &Path, durability: Arc<dyn Durability>) -> Result<(Self, AlarmLogRecovery)> {
        Self::open_with(folder, durability, SEGMENT_BYTES)
    }

    fn open_with(
        folder: &Path,
        durability: Arc<dyn Durability>,
        segment_bytes: u64,
    ) -> Result<(Self, AlarmLogRecovery)> {
        create_folders(folder, &*durability).map_err(io_error("creating", folder))?;
        let failpoints = Arc::new(NoFailpoints);
        let log =
            Self { folder: folder.to_owned(), durability, failpoints, segment_bytes, tail: Mutex::default() };
        let mut recovery = AlarmLogRecovery::default();
        let segments = log.segments()?;
        for (position, segment) in segments.iter().enumerate() {
            log.recover(*segment, position + 1 == segments.len(), &mut recovery)?;
        }
        if let Some(last) = segments.last() {
            log.keep(*last)?;
        }
        Ok((log, recovery))
    }

    /// The same log, with failpoints of a test's own.
    pub(crate) fn with_failpoints(self, failpoints: Arc<dyn Failpoints>) -> Self {
        Self { failpoints, ..self }
    }

    /// Syncs the last segment and the names of all: a process that died between its write and its sync has left whole
    /// records that are counted on from now on, and that a power loss could still take.
    fn keep(&self, segment: u64) -> Result<()> {
        let path = self.path(segment);
        File::open(&path)
            .and_then(|file| self.durability.sync_file(&path, &file))
            .map_err(io_error("syncing", &path))?;
        self.durability.sync_folder(&self.folder).map_err(io_error("syncing", &self.folder))
    }

    /// Appends `alarms`, all or none of them, and returns when they are on the disk. Each must carry its
    /// site's next number.
    ///
    /// # Errors
    /// [`AlarmLogError::Gap`] writes nothing. After [`AlarmLogError::Io`] the same append may be tried again:
    /// what a failed one has left is cut off first.
    pub fn append(&self, alarms: &[Alarm]) -> Result<()> {
        if alarms.is_empty() {
            return Ok(());
        }
        let mut tail = self.lock();
        let last_seqs = tail.index.check(alarms)?;
        self.reach(&Point::Before(Step::AlarmLog))?;
        let bytes = record::encode(alarms)
            .map_err(AlarmLogError::Encode)?
            .ok_or(AlarmLogError::TooLarge { changes: alarms.len() })?;
        let place = self.write(&mut tail, &bytes).inspect_err(|_| tail.torn = true)?;
        tail.index.insert(last_seqs, place);
        self.reach(&Point::After(Step::AlarmLog))
    }

    /// The changes of `site` after `seq`, oldest first, at most `limit`.
    pub fn read_after(&self, site: &str, seq: u64, limit: usize) -> Result<Vec<Alarm>> {
        let places = self.lock().index.after(site, seq, limit);
        let mut alarms = Vec::new();
        for place in places {
            let record = self.read(place)?;
            alarms.extend(record.into_iter().filter(|alarm| alarm.site == site && alarm.seq > seq));
            if alarms.len() >= limit {
                alarms.truncate(limit);
                break;
            }
        }
        Ok(alarms)
    }

    /// The number of the last change of `site`; 0 where there is none.
    #[must_use]
    pub fn last_seq(&self, site: &str) -> u64 {
        self.lock().index.last_seq(site)
    }

    /// For each site the number of its last change.
    #[must_use]
    pub fn last_seqs(&self) -> BTreeMap<String, u64> {
        self.lock().index.last_seqs()
    }

    fn reach(&self, point: &Point) -> Result<()> {
        self.failpoints.reach(point).map_err(io_error("appending to", &self.folder))
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        // A panic elsewhere leaves the tail as the disk has it: it is only changed after a sync.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{segment:020}.log"))
    }

    fn segments(&self) -> Result<Vec<u64>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io_error("listing", &self.folder))? {
            let name = entry.map_err(io_error("listing", &self.folder))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok());
            segments.extend(number);
        }
        segments.sort_unstable();
        for (expected, segment) in (1..).zip(&segments) {
            if *segment != expected {
                let reason = "the segment is missing".to_owned();
                return Err(AlarmLogError::Damaged { path: self.path(expected), offset: 0, reason });
            }
        }
        Ok(segments)
    }

    /// Reads `segment` into the index; cuts its tail off where it is torn and the `last`.
    fn recover(&self, segment: u64, last: bool, recovery: &mut AlarmLogRecovery) -> Result<()> {
        let path = self.path(segment);
        let bytes = fs::read(&path).map_err(io_error("reading", &path))?;
        let mut tail = self.lock();
        let mut offset = if bytes.starts_with(MAGIC) { MAGIC.len() } else { 0 };
        loop {
            match if offset == 0 { Found::Broken } else { record::at(&bytes, offset) } {
                Found::End => break,
                Found::Record { payload, next } => {
                    let damaged = |reason: String| AlarmLogError::Damaged {
                        path: path.clone(),
                        offset: offset as u64,
                        reason,
                    };
                    let alarms = record::decode(payload).map_err(|error| damaged(error.to_string()))?;
                    let last_seqs = tail.index.check(&alarms).map_err(|gap| damaged(gap.to_string()))?;
                    let length = u32::try_from(next - offset).unwrap_or(u32::MAX);
                    tail.index.insert(last_seqs, Place { segment, offset: offset as u64, length });
                    recovery.changes += alarms.len() as u64;
                    offset = next;
                }
                Found::Broken if last && !record::survives_behind(&bytes, offset) => {
                    recovery.torn_bytes += (bytes.len() - offset) as u64;
                    self.cut(&path, offset as u64)?;
                    break;
                }
                Found::Broken => {
                    let reason = "what is behind it was acknowledged".to_owned();
                    return Err(AlarmLogError::Damaged { path, offset: offset as u64, reason });
                }
            }
        }
        tail.segment = segment;
        tail.length = offset as u64;
        Ok(())
    }

    fn cut(&self, path: &Path, length: u64) -> Result<()> {
        tracing::warn!(path = %path.display(), length, "cutting a torn tail off the alarm log");
        let file = OpenOptions::new().write(true).open(path).map_err(io_error("cutting", path))?;
        file.set_len(length).map_err(io_error("cutting", path))?;
        self.durability.sync_file(path, &file).map_err(io_error("cutting", path))
    }

    /// Writes one record behind the tail and syncs it. The tail moves only after that.
    fn write(&self, tail: &mut Tail, bytes: &[u8]) -> Result<Place> {
        let (segment, offset) = if tail.segment == 0 || tail.length >= self.segment_bytes {
            (tail.segment + 1, 0)
        } else {
            (tail.segment, tail.length)
        };
        let path = self.path(segment);
        let mut file = match tail.file.take() {
            Some(file) if segment == tail.segment => file,
            _ => OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(io_error("opening", &path))?,
        };
        if tail.torn {
            file.set_len(offset).map_err(io_error("cutting", &path))?;
        }
        let magic = if offset == 0 { &MAGIC[..] } else { &[] };
        file.write_all(&[magic, bytes].concat()).map_err(io_error("writing to", &path))?;
        self.reach(&Point::Before(Step::AlarmLogSync))?;
        self.durability.sync_file(&path, &file).map_err(io_error("syncing", &path))?;
        if offset == 0 {
            self.durability.sync_folder(&self.folder).map_err(io_error("syncing", &self.folder))?;
        }
        self.reach(&Point::After(Step::AlarmLogSync))?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let place = Place { segment, offset: offset + magic.len() as u64, length };
        *tail = Tail {
            index: std::mem::take(&mut tail.index),
            segment,
            length: place.offset + u64::from(length),
            file: Some(file),
            torn: false,
        };
        Ok(place)
    }

    fn read(&self, place: Place) -> Result<Vec<Alarm>> {
        let path = self.path(place.segment);
        let mut bytes = vec![0; place.length as usize];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut bytes, place.offset))
            .map_err(io_error("reading", &path))?;
        let damaged = |reason: String| AlarmLogError::Damaged { path, offset: place.offset, reason };
        match record::at(&bytes, 0) {
            Found::Record { payload, .. } => {
                record::decode(payload).map_err(|error| damaged(error.to_string()))
            }
            _ => Err(damaged("the checksum differs".to_owned())),
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AlarmLogError + use<> {
    let path = path.to_owned();
    move |source| AlarmLogError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
