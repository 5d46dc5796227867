//! Tables for people: columns in line, within the terminal's width.
//!
//! The columns that may shrink do, widest first, and end with an ellipsis; into a file or a pipe everything is written whole.

use crate::print::{Printer, Tone, clean};
use crate::screen;

/// The narrowest that a column is made.
const SHRUNK_MIN: usize = 8;
const GAP: &str = "  ";

/// A column.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Text that is kept whole, such as an id.
    Whole(&'static str),
    /// Text that may be cut.
    Cut(&'static str),
    /// A number, flush right.
    Number(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Whole(title) | Self::Cut(title) | Self::Number(title) => title,
        }
    }
}

/// A cell: its text, and a colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A cell that is coloured as this status is.
    pub fn status(status: &str) -> Cell {
        Cell { text: clean(status), tone: Tone::of_status(status) }
    }

    /// A cell of this colour.
    pub fn toned(text: &str, tone: Tone) -> Cell {
        Cell { text: clean(text), tone: Some(tone) }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell { text: clean(text.as_ref()), tone: None }
    }
}

/// Prints a table, or `empty` where there are no rows.
pub fn print(out: &Printer, columns: &[Column], rows: &[Vec<Cell>], empty: &str) {
    if rows.is_empty() {
        out.say(empty);
        return;
    }
    for line in lines(out, columns, rows) {
        screen::say(&line);
    }
}

/// The table's lines, the titles first.
pub fn lines(out: &Printer, columns: &[Column], rows: &[Vec<Cell>]) -> Vec<String> {
    let widest = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| columns_of(&cell.text)).max().unwrap_or(0);
    let mut widths: Vec<usize> = columns.iter().enumerate().map(|(index, column)| widest(index).max(columns_of(column.title()))).collect();
    if let Some(most) = out.width {
        shrink(columns, &mut widths, most);
    }
    let titles: Vec<Cell> = columns.iter().map(|column| Cell::toned(column.title(), Tone::Dim)).collect();
    std::iter::once(&titles).chain(rows).map(|row| line(out, columns, &widths, row)).collect()
}

fn line(out: &Printer, columns: &[Column], widths: &[usize], row: &[Cell]) -> String {
    let mut line = String::new();
    for (index, cell) in row.iter().enumerate() {
        let text = cut(&cell.text, widths[index]);
        let space = " ".repeat(widths[index].saturating_sub(columns_of(&text)));
        let text = out.paint(&text, cell.tone);
        let last = index + 1 == row.len();
        match columns[index] {
            Column::Number(_) => line.push_str(&format!("{space}{text}")),
            _ if last => line.push_str(&text),
            _ => line.push_str(&format!("{text}{space}")),
        }
        if !last {
            line.push_str(GAP);
        }
    }
    line.trim_end().to_owned()
}

/// Takes from the widest column that may be cut, one by one, until the line fits or none may give more.
fn shrink(columns: &[Column], widths: &mut [usize], most: usize) {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        let widest = (0..columns.len())
            .filter(|index| matches!(columns[*index], Column::Cut(_)) && widths[*index] > SHRUNK_MIN)
            .max_by_key(|index| widths[*index]);
        let Some(widest) = widest else { return };
        widths[widest] -= 1;
    }
}

/// The text, no wider than this.
pub fn cut(text: &str, most: usize) -> String {
    if columns_of(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let mut kept = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(columns_of_char(c)) else { break };
        left = rest;
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// How many columns of a terminal the text takes.
pub fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// Wide and combining characters, in rough: the blocks of Unicode's East Asian Width `W` that people write in.
fn columns_of_char(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::Whole("ID"), Column::Number("N"), Column::Cut("URL")];

    fn printer(width: Option<usize>) -> Printer {
        Printer { json: false, color: false, width }
    }

    #[test]
    fn columns_are_in_line_and_a_narrow_terminal_cuts_only_what_may_be_cut() {
        let rows = vec![
            vec!["msg_1".into(), "7".into(), "https://example.com/a/long/path".into()],
            vec!["msg_22".into(), "1,000".into(), "x".into()],
        ];
        let wide = lines(&printer(None), &COLUMNS, &rows);
        assert_eq!(wide, ["ID          N  URL", "msg_1       7  https://example.com/a/long/path", "msg_22  1,000  x"]);
        let narrow = lines(&printer(Some(30)), &COLUMNS, &rows);
        assert_eq!(narrow[1], "msg_1       7  https://exampl…");
        assert!(narrow.iter().all(|line| columns_of(line) <= 30));
        assert_eq!(lines(&printer(Some(5)), &COLUMNS, &rows)[1], "msg_1       7  https:/…");
    }

    #[test]
    fn wide_and_combining_characters_count_as_they_are_drawn() {
        assert_eq!((columns_of("日本"), columns_of("e\u{301}"), columns_of("né")), (4, 1, 2));
        assert_eq!((cut("日本語", 5), cut("abc", 3), cut("abcd", 3)), ("日本…".to_owned(), "abc".to_owned(), "ab…".to_owned()));
    }

    #[test]
    fn a_cell_of_many_lines_is_one() {
        let rows = vec![vec!["a\nb".into(), "1".into(), "\u{1b}[31m".into()]];
        assert_eq!(lines(&printer(None), &COLUMNS, &rows)[1], "a\\nb  1  \\u{1b}[31m");
    }
}
