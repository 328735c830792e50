//! Everything that is kept of a user, as a zip of JSON files.
//!
//! The archive is written as it is taken: one page of rows and less than two chunks are in memory, however much there is,
//! and no query is open in between. Who stops taking ends it.

use std::io::{self, Write};
use std::sync::Arc;

use futures::{Stream, TryStreamExt, stream};
use parking_lot::Mutex;
use uuid::Uuid;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::App;
use super::throttles::Counted;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::error::Error;
use crate::store::audit::Line;
use crate::store::personal::{Part, Reader};
use crate::store::{Store, audit, users};

/// No chunk has more bytes.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

impl App {
    /// Writes an archive of everything that is kept of the caller, until the call itself.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`]; [`Error::Throttled`]; [`Error::Database`], also later in the
    /// stream.
    pub(crate) async fn export_data(
        &self,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, Error>> + Send + use<>, Error> {
        self.must_prove_itself(self.store.reader(), caller).await?;
        let user = users::find(self.store.reader(), caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        let counted = Counted::by(Kind::ExportAccount, &user.id.to_string());
        self.charge(&[counted]).await?;
        let tx = self.store.begin().await?;
        audit::append(&tx, Line::own(user.id, "data.export", origin), self.now()).await?;
        tx.commit().await?;
        // Every line until here has an id that is not greater.
        let reader = Reader::new(user.id, user.email_key, Uuid::now_v7());
        let archive = Archive::new(self.store.clone(), reader);
        let chunks = stream::try_unfold(archive, async |mut archive| {
            let chunk = archive.next_chunk().await?;
            Ok::<_, Error>(chunk.map(|chunk| (chunk, archive)))
        });
        Ok(chunks.into_stream())
    }
}

/// A zip whose bytes are taken out as they come.
struct Archive {
    store: Store,
    reader: Reader,
    /// None once it was finished.
    zip: Option<ZipWriter<StreamWriter<Sink>>>,
    sink: Sink,
    /// That are still to be written, the next one first.
    parts: std::slice::Iter<'static, Part>,
    open: Option<Open>,
}

/// The file that is being written.
#[derive(Clone, Copy)]
struct Open {
    part: Part,
    /// Id of the row that was written last.
    after: Uuid,
}

impl Archive {
    fn new(store: Store, reader: Reader) -> Self {
        let sink = Sink::default();
        Self {
            store,
            reader,
            zip: Some(ZipWriter::new_stream(sink.clone())),
            sink,
            parts: Part::ALL.iter(),
            open: None,
        }
    }

    /// None after the last one.
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(chunk) = self.sink.take(CHUNK_BYTES) {
                return Ok(Some(chunk));
            }
            if let Some(open) = self.open {
                self.write_page(open).await?;
            } else if let Some(part) = self.parts.next() {
                self.begin(*part)?;
            } else if let Some(zip) = self.zip.take() {
                zip.finish().map_err(broken)?;
            } else {
                return Ok(self.sink.take(1));
            }
        }
    }

    fn begin(&mut self, part: Part) -> Result<(), Error> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let zip = self.zip.as_mut().ok_or_else(|| broken("it is finished"))?;
        zip.start_file(part.file_name(), options).map_err(broken)?;
        self.open = Some(Open {
            part,
            after: Uuid::nil(),
        });
        Ok(())
    }

    async fn write_page(&mut self, open: Open) -> Result<(), Error> {
        let page = self.reader.page(self.store.reader(), open.part, open.after);
        let rows = page.await?;
        let zip = self.zip.as_mut().ok_or_else(|| broken("it is finished"))?;
        let Some((last, _)) = rows.last() else {
            let end = if open.after.is_nil() { "[]\n" } else { "\n]\n" };
            zip.write_all(end.as_bytes()).map_err(broken)?;
            self.open = None;
            return Ok(());
        };
        let mut separator = if open.after.is_nil() { "[\n" } else { ",\n" };
        for (_, row) in &rows {
            write!(zip, "{separator}{row}").map_err(broken)?;
            separator = ",\n";
        }
        self.open = Some(Open {
            after: *last,
            ..open
        });
        Ok(())
    }
}

/// Where bytes wait.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

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

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("the archive cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
