//! Rows as a file: CSV as RFC 4180 has it, or an object a line.

use serde::Serialize;

use crate::error::Error;

/// The form of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// With a heading. Cells that a spreadsheet would compute begin with an apostrophe.
    #[default]
    Csv,
    /// An object a line.
    Json,
}

/// One row of a file.
pub trait Row: Serialize {
    /// The names of the cells, which are those of the object's fields, too.
    const HEADING: &'static [&'static str];

    /// The cells as text, in the order of the heading.
    fn cells(&self) -> Vec<String>;
}

/// Writes rows as bytes of a file; with the heading when they are the first ones.
///
/// # Errors
/// [`Error::Broken`] when a row cannot be written.
pub fn write<R: Row>(rows: &[R], format: Format, is_first: bool) -> Result<Vec<u8>, Error> {
    match format {
        Format::Csv => csv(rows, is_first),
        Format::Json => json(rows),
    }
}

fn csv<R: Row>(rows: &[R], is_first: bool) -> Result<Vec<u8>, Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if is_first {
        writer.write_record(R::HEADING).map_err(broken)?;
    }
    for row in rows {
        let cells = row.cells().into_iter().map(harmless);
        writer.write_record(cells).map_err(broken)?;
    }
    writer.into_inner().map_err(broken)
}

fn json<R: Row>(rows: &[R]) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).map_err(broken)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A spreadsheet takes such a cell for a formula, which could do anything; after an apostrophe it is text.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{cell}");
    }
    cell
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("a file cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair {
        name: &'static str,
        number: u64,
    }

    impl Row for Pair {
        const HEADING: &'static [&'static str] = &["name", "number"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.number.to_string()]
        }
    }

    fn written(names: &[&'static str], format: Format, is_first: bool) -> String {
        let rows: Vec<Pair> = names.iter().map(|&name| Pair { name, number: 7 }).collect();
        String::from_utf8(write(&rows, format, is_first).unwrap()).unwrap()
    }

    #[test]
    fn cells_are_quoted_and_compute_nothing() {
        let names = [
            "plain",
            "a,b",
            "say \"hi\"",
            "=1+1",
            "+1",
            "-1",
            "@x",
            "\tx",
            "\rx",
            "",
        ];
        let csv = written(&names, Format::Csv, true);
        let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
        let expected = [
            "name,number",
            "plain,7",
            "\"a,b\",7",
            "\"say \"\"hi\"\"\",7",
            "'=1+1,7",
            "'+1,7",
            "'-1,7",
            "'@x,7",
            "'\tx,7",
            "\"'\rx\",7",
            ",7",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn only_the_first_rows_have_a_heading() {
        assert_eq!(written(&["x"], Format::Csv, false), "x,7\r\n");
        assert_eq!(written(&[], Format::Csv, true), "name,number\r\n");
        assert_eq!(written(&[], Format::Json, true), "");
    }

    #[test]
    fn objects_are_a_line_each() {
        let json = written(&["a\nb", "=1"], Format::Json, true);
        assert_eq!(
            json,
            "{\"name\":\"a\\nb\",\"number\":7}\n{\"name\":\"=1\",\"number\":7}\n"
        );
    }
}
