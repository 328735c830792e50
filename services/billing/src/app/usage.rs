//! What delivered clips took.

use futures::{Stream, TryStreamExt, stream};

use super::App;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::sheet::{self, Format};
use crate::domain::usage::{Days, UsageLine, UsageRow};
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::{Store, payers, usage};

/// No answer has more lines: it would be longer than a message may be.
const MAX_LINES: u64 = 10_000;

/// Lines of a chunk of a file: less than 64 KiB, also when all of them are as long as they may be.
const CHUNK_LINES: u64 = 100;

impl App {
    /// Reads what a payer's delivered clips took, by day, model and person, and their sum. Days that are not named are those
    /// of the present window.
    ///
    /// # Errors
    /// [`Refusal::DaysInvalid`], [`Refusal::UsageTooLong`], [`Error::Database`].
    pub(crate) async fn usage(
        &self,
        payer: &Payer,
        from: &str,
        to: &str,
    ) -> Result<(Vec<UsageLine>, Credits), Error> {
        let days = self.days(payer, from, to).await?;
        let reader = self.store.reader();
        let lines = usage::lines(reader, payer, days, None, MAX_LINES + 1).await?;
        if u64::try_from(lines.len()).is_ok_and(|number| number > MAX_LINES) {
            return Err(Refusal::UsageTooLong.into());
        }
        let credits = lines.iter().map(|line| line.credits).sum();
        Ok((lines, credits))
    }

    /// Writes the same as a file, a chunk at a time: as fast as they are taken, and with no query open in between.
    ///
    /// # Errors
    /// [`Refusal::DaysInvalid`]; [`Error::Database`], also later in the stream.
    pub(crate) async fn export_usage(
        &self,
        payer: Payer,
        from: &str,
        to: &str,
        format: Format,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, Error>> + Send + use<>, Error> {
        let file = File {
            store: self.store.clone(),
            payer,
            days: self.days(&payer, from, to).await?,
            format,
            after: None,
            is_first: true,
        };
        let chunks = stream::try_unfold(file, async |mut file| {
            let chunk = file.next_chunk().await?;
            Ok::<_, Error>(chunk.map(|chunk| (chunk, file)))
        });
        Ok(chunks.into_stream())
    }

    async fn days(&self, payer: &Payer, from: &str, to: &str) -> Result<Days, Error> {
        let tx = self.store.snapshot().await?;
        let in_force = self.in_force(&tx).await?;
        let row = payers::find(&tx, payer).await?;
        let row = row.unwrap_or_else(|| PayerRow::new(*payer, in_force.now));
        let beginning = in_force.window_of(&row).start;
        Ok(Days::parse(from, to, beginning, in_force.now)?)
    }
}

/// A file that is written as it is taken.
struct File {
    store: Store,
    payer: Payer,
    days: Days,
    format: Format,
    /// The last line that was written.
    after: Option<UsageLine>,
    is_first: bool,
}

impl File {
    /// None after the last one.
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let (reader, after) = (self.store.reader(), self.after.as_ref());
        let lines = usage::lines(reader, &self.payer, self.days, after, CHUNK_LINES).await?;
        let rows: Vec<UsageRow> = lines.iter().map(UsageRow::from).collect();
        let is_first = std::mem::replace(&mut self.is_first, false);
        // The first chunk is there also when nothing was used: it has the heading.
        if rows.is_empty() && !is_first {
            return Ok(None);
        }
        self.after = lines.into_iter().last().or_else(|| self.after.take());
        let chunk = sheet::write(&rows, self.format, is_first)?;
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests;
