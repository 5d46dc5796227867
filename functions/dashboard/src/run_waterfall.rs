//! The geometry of a run's waterfall: when steps worked and waited in, places on an axis out. Pure.
//!
//! Time in which something works is drawn to scale. A stretch in which everything waits is drawn to scale as long as it is no longer than all
//! work together, and beyond that by the logarithm of its length; all such stretches together get at most three fifths of the axis.
//! So a step of 40 ms stays visible beside a sleep of a week, a week is still longer than a day, and a mark on the axis says how long it was.
//! (A logarithmic axis for everything would have made equal steps look unequal; a fixed width for waits, a minute look like a month.)
//!
//! Out of scope: what the times of a step are (`run_times`), drawing.

use std::collections::BTreeMap;

/// The right end of the axis.
pub const WIDTH: i64 = 1_000;
/// A bar is at least this wide, or one would not see it.
const BAR_MIN: i64 = 6;
/// What a label takes.
const LABEL: i64 = 90;
/// Waits up to this are drawn to scale, however little work there is.
const PLAIN_MS_MIN: f64 = 250.0;
/// What shortened stretches get of the axis, in proportion to the rest.
const SHORTENED_MAX: f64 = 1.5;
/// Two steps that touch by no more than this, by two clocks, followed each other.
const TOUCH_MS: i64 = 2;
/// Distances of ticks, in milliseconds.
const STEPS: [i64; 34] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_200_000,
    1_800_000,
    3_600_000,
    7_200_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
    604_800_000,
    1_209_600_000,
    2_592_000_000,
    5_184_000_000,
    15_552_000_000,
    31_536_000_000,
    63_072_000_000,
];

/// A time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From when.
    pub from_ms: i64,
    /// Until when.
    pub to_ms: i64,
    /// Whether something worked, and did not only wait.
    pub is_work: bool,
}

/// A label of the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where, from 0 to [`WIDTH`].
    pub x: i64,
    /// What it says.
    pub text: String,
}

/// A part of the axis with a scale of its own.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from_ms: i64,
    to_ms: i64,
    x: f64,
    width: f64,
    is_shortened: bool,
}

/// A time axis that makes long waits short.
#[derive(Clone, Debug)]
pub struct Axis {
    pieces: Vec<Piece>,
}

impl Axis {
    /// An axis for these stretches, which begins and ends at these times or earlier and later.
    pub fn new(from_ms: i64, to_ms: i64, stretches: &[Stretch]) -> Self {
        let mut changes = BTreeMap::from([(from_ms, 0), (to_ms.max(from_ms), 0)]);
        for stretch in stretches {
            let n = i32::from(stretch.is_work);
            *changes.entry(stretch.from_ms).or_default() += n;
            *changes.entry(stretch.to_ms.max(stretch.from_ms)).or_default() -= n;
        }
        let (mut spans, mut working) = (Vec::new(), 0);
        let points: Vec<(i64, i32)> = changes.into_iter().collect();
        for pair in points.windows(2) {
            working += pair[0].1;
            spans.push((pair[0].0, pair[1].0, working > 0));
        }
        Self { pieces: pieces(&spans) }
    }

    /// Where a time is, from 0 to [`WIDTH`].
    pub fn x(&self, at_ms: i64) -> i64 {
        let Some(piece) = self.pieces.iter().rev().find(|piece| piece.from_ms <= at_ms).or(self.pieces.first()) else { return 0 };
        let part = (at_ms - piece.from_ms) as f64 / (piece.to_ms - piece.from_ms).max(1) as f64;
        let x = piece.x + piece.width * part.clamp(0.0, 1.0);
        (x.round() as i64).clamp(0, WIDTH)
    }

    /// Where a bar begins, and its width: always enough to be seen, and never beyond the end.
    pub fn bar(&self, from_ms: i64, to_ms: i64) -> (i64, i64) {
        let (from, to) = (self.x(from_ms), self.x(to_ms));
        let width = (to - from).max(BAR_MIN);
        (from.min(WIDTH - width), width)
    }

    /// The lengths of stretches that are drawn shorter than they were, in their middles.
    pub fn breaks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.is_shortened && piece.width >= 24.0) {
            let x = (piece.x + piece.width / 2.0).round() as i64;
            if marks.last().is_none_or(|last| x - last.x >= LABEL) {
                marks.push(Mark { x, text: format!("⋯ {}", length(piece.to_ms - piece.from_ms)) });
            }
        }
        marks
    }

    /// Labels at round times: since the beginning, and after a shortened stretch since its end ("+2 s").
    pub fn ticks(&self) -> Vec<Mark> {
        let taken: Vec<(i64, i64)> = self.breaks().iter().map(|mark| (mark.x - LABEL / 2, mark.x + LABEL / 2)).collect();
        let is_free = |x: i64| x <= WIDTH - LABEL / 2 && !taken.iter().any(|(from, to)| x < *to && x + LABEL > *from);
        let mut marks = Vec::new();
        for (nth, region) in self.regions().iter().enumerate() {
            let sign = if nth == 0 && region.from_ms == self.pieces[0].from_ms { "" } else { "+" };
            if sign.is_empty() && is_free(0) {
                marks.push(Mark { x: 0, text: "0".to_owned() });
            }
            let per_ms = region.width / (region.to_ms - region.from_ms).max(1) as f64;
            let Some(step) = STEPS.iter().find(|step| **step as f64 * per_ms >= 1.2 * LABEL as f64) else { continue };
            for n in 1..=(region.to_ms - region.from_ms) / step {
                let x = self.x(region.from_ms + n * step);
                if is_free(x) {
                    marks.push(Mark { x, text: format!("{sign}{}", length(n * step)) });
                }
            }
        }
        marks
    }

    /// What is drawn to scale without a break, one after the other.
    fn regions(&self) -> Vec<Piece> {
        let mut regions: Vec<Piece> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.is_shortened) {
            match regions.last_mut() {
                Some(last) if last.to_ms == piece.from_ms => {
                    last.to_ms = piece.to_ms;
                    last.width += piece.width;
                }
                _ => regions.push(*piece),
            }
        }
        regions
    }
}

fn pieces(spans: &[(i64, i64, bool)]) -> Vec<Piece> {
    let length = |span: &(i64, i64, bool)| (span.1 - span.0) as f64;
    let work: f64 = spans.iter().filter(|span| span.2).map(length).sum();
    let shortest = spans.iter().map(length).filter(|ms| *ms > 0.0).fold(f64::INFINITY, f64::min);
    let plain = if work > 0.0 { work.max(PLAIN_MS_MIN) } else { shortest };
    let mut pieces = Vec::with_capacity(spans.len());
    for span in spans {
        let ms = length(span);
        let width = if span.2 || ms <= plain { ms } else { plain * (1.0 + (ms / plain).log10()) };
        pieces.push(Piece { from_ms: span.0, to_ms: span.1, x: 0.0, width, is_shortened: width < 0.75 * ms });
    }
    let sum = |pieces: &[Piece], shortened: bool| -> f64 { pieces.iter().filter(|p| p.is_shortened == shortened).map(|p| p.width).sum() };
    let (shortened, plain) = (sum(&pieces, true), sum(&pieces, false));
    let factor = if work > 0.0 && shortened > SHORTENED_MAX * plain { SHORTENED_MAX * plain / shortened } else { 1.0 };
    let scale = WIDTH as f64 / (plain + shortened * factor).max(f64::MIN_POSITIVE);
    let mut x = 0.0;
    for piece in &mut pieces {
        piece.width *= if piece.is_shortened { scale * factor } else { scale };
        piece.x = x;
        x += piece.width;
    }
    pieces
}

/// Where a row stands among those that ran at the same time: start, mid or end, and "" for one by itself. Rows are in the order of their
/// beginnings.
pub fn lanes(rows: &[(i64, i64)]) -> Vec<&'static str> {
    let mut lanes = vec![""; rows.len()];
    let mut first = 0;
    while first < rows.len() {
        let (mut last, mut end_ms) = (first, rows[first].1);
        while let Some((from_ms, to_ms)) = rows.get(last + 1) {
            let is_same = rows[last] == (*from_ms, *to_ms);
            if *from_ms >= end_ms - TOUCH_MS && !is_same {
                break;
            }
            end_ms = end_ms.max(*to_ms);
            last += 1;
        }
        if last > first {
            lanes[first..=last].fill("mid");
            (lanes[first], lanes[last]) = ("start", "end");
        }
        first = last + 1;
    }
    lanes
}

/// A length of time in words, the two largest units at most: "40 ms", "2.5 s", "1 min 30 s", "3 d".
pub fn length(ms: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big} {unit}") } else { format!("{big} {unit} {small} {small_unit}") }
    };
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 >= 100 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => two(ms / 60_000, "min", ms % 60_000 / 1_000, "s"),
        3_600_000..86_400_000 => two(ms / 3_600_000, "h", ms % 3_600_000 / 60_000, "min"),
        _ => two(ms / 86_400_000, "d", ms % 86_400_000 / 3_600_000, "h"),
    }
}

/// A place on the axis as a percentage.
pub fn percent(x: i64) -> String {
    if x % 10 == 0 { (x / 10).to_string() } else { format!("{}.{}", x / 10, x % 10) }
}

#[cfg(test)]
#[path = "run_waterfall_tests.rs"]
mod tests;
