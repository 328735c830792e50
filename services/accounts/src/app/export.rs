//! Everything that is kept of a user, as a zip of JSON files.
//!
//! The archive is written as it is taken: a page of rows is in memory, and at most a few chunks that nobody has taken yet.

use std::io::{self, Write};
use std::sync::Arc;

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::App;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::error::Error;
use crate::store::audit::Line;
use crate::store::personal::{self, Part};
use crate::store::{Store, audit};

/// No chunk has more bytes.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks that wait for a slow reader.
const WAITING_CHUNKS: usize = 4;

type Chunk = Result<Vec<u8>, Error>;

impl App {
    /// Writes an archive of everything that is kept of the caller. It ends early when nobody takes it.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::StepUpRequired`]; [`Error::Database`], also later in the stream.
    pub(crate) async fn export_data(
        &self,
        caller: &Caller,
    ) -> Result<impl Stream<Item = Chunk> + Send + use<>, Error> {
        let now = self.now();
        caller.must_be_fresh(now)?;
        let tx = self.store.begin().await?;
        let line = Line::own(caller.id, "data.export", &Origin::default());
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        let (chunks, taken) = mpsc::channel(WAITING_CHUNKS);
        let (store, user) = (self.store.clone(), caller.id);
        tokio::spawn(async move {
            if let Err(error) = write_archive(&store, user, &chunks).await {
                // Nobody is left to tell when the reader has gone, which may be why it failed.
                let _ = chunks.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(taken))
    }
}

async fn write_archive(
    store: &Store,
    user: Uuid,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), Error> {
    let mut archive = Archive::new();
    for part in Part::ALL {
        archive.begin(part.file_name())?;
        let mut after = Uuid::nil();
        let mut separator = "[\n";
        loop {
            let rows = personal::page(store.reader(), part, user, after).await?;
            let Some((last, _)) = rows.last() else { break };
            after = *last;
            for (_, row) in rows {
                archive.write(&format!("{separator}{row}"))?;
                separator = ",\n";
            }
            archive.pass_on(chunks, CHUNK_BYTES).await?;
        }
        let end = if after.is_nil() { "[]\n" } else { "\n]\n" };
        archive.write(end)?;
    }
    archive.finish(chunks).await
}

/// A zip whose bytes are taken out as they come.
struct Archive {
    zip: ZipWriter<StreamWriter<Sink>>,
    sink: Sink,
}

/// Where the bytes wait.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Archive {
    fn new() -> Self {
        let sink = Sink::default();
        Self {
            zip: ZipWriter::new_stream(sink.clone()),
            sink,
        }
    }

    fn begin(&mut self, name: &str) -> Result<(), Error> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(name, options).map_err(broken)
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        self.zip.write_all(text.as_bytes()).map_err(broken)
    }

    /// Sends what waits, in chunks, as long as at least `enough` bytes wait. It waits for the reader.
    async fn pass_on(&self, chunks: &mpsc::Sender<Chunk>, enough: usize) -> Result<(), Error> {
        while let Some(chunk) = self.sink.take(enough) {
            chunks.send(Ok(chunk)).await.map_err(broken)?;
        }
        Ok(())
    }

    async fn finish(self, chunks: &mpsc::Sender<Chunk>) -> Result<(), Error> {
        let Self { zip, sink } = self;
        zip.finish().map_err(broken)?;
        while let Some(chunk) = sink.take(1) {
            chunks.send(Ok(chunk)).await.map_err(broken)?;
        }
        Ok(())
    }
}

impl Sink {
    /// The next chunk, if `enough` bytes wait.
    fn take(&self, enough: usize) -> Option<Vec<u8>> {
        let mut waiting = self.0.lock();
        if waiting.len() < enough {
            return None;
        }
        let length = waiting.len().min(CHUNK_BYTES);
        Some(waiting.drain(..length).collect())
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("the archive cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
