//! The one place that writes to the terminal: results to the output, everything else to the error stream.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;
use serde::Serialize;

/// Writes a line of result. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
///
/// When the output cannot take it, for example on a full disk.
pub fn result(line: impl Display) -> anyhow::Result<()> {
    bytes(format!("{line}\n").as_bytes())
}

/// Writes bytes of a result as they are. A reader that has seen enough is no error.
///
/// # Errors
///
/// When the output cannot take them.
pub fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("the result cannot be written")
        }
        _ => Ok(()),
    }
}

/// Writes a remark for the person at the terminal.
pub fn remark(line: impl Display) {
    if let Err(error) = writeln!(std::io::stderr().lock(), "{line}") {
        tracing::debug!(%error, "the error stream is closed");
    }
}

/// Writes a value as indented JSON.
///
/// # Errors
///
/// When the value has no JSON form, or as [`result`].
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    result(serde_json::to_string_pretty(value)?)
}

/// Writes a value as JSON, or as text for people.
///
/// # Errors
///
/// As [`json`].
pub fn show(
    as_json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if as_json { json(value) } else { result(text()) }
}

/// Lays rows out in columns, the last one as long as it is.
#[must_use]
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header = header.map(str::to_owned);
    let lines = std::iter::once(&header)
        .chain(rows)
        .map(|row| table_line(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

fn table_line(row: &[String], widths: &[usize]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["é".to_owned(), "long cell".to_owned()],
            ["abc".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            table(["ID", "PROMPT"], &rows),
            "ID   PROMPT\né    long cell\nabc  x"
        );
    }
}
