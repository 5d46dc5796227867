//! Times as pages show them: how long ago or ahead by the database's clock, and exactly. Out of scope: going on counting (`tikku.js`).

use jiff::Timestamp;

/// A moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// RFC 3339 in UTC; "" for none.
    pub iso: String,
    /// "12 s ago" or "in 3 min", when the page was made.
    pub rel: String,
    /// "2026-11-21 18:55:03 UTC".
    pub abs: String,
}

impl When {
    /// An RFC 3339 time, seen at a time in seconds since 1970; what is none of both is no moment.
    pub fn new(time: &str, now_s: i64) -> Self {
        let Ok(at) = time.parse::<Timestamp>() else { return Self::default() };
        Self { iso: time.to_owned(), rel: relative(at.as_second() - now_s), abs: at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string() }
    }

    /// A time in seconds since 1970.
    pub fn at(s: i64, now_s: i64) -> Self {
        Timestamp::from_second(s).map_or_else(|_| Self::default(), |at| Self::new(&at.to_string(), now_s))
    }
}

fn relative(seconds: i64) -> String {
    let length = seconds.unsigned_abs();
    let text = match length {
        0 => return "now".to_owned(),
        1..60 => format!("{length} s"),
        60..3_600 => format!("{} min", length / 60),
        3_600..172_800 => format!("{} h", length / 3_600),
        _ => format!("{} d", length / 86_400),
    };
    if seconds < 0 { format!("{text} ago") } else { format!("in {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_now() {
        let at = "2027-01-31T09:00:00.250Z";
        let now_s = at.parse::<Timestamp>().unwrap().as_second();
        for (offset_s, expected) in
            [(0, "now"), (12, "12 s ago"), (-59, "in 59 s"), (60, "1 min ago"), (7_200, "2 h ago"), (-172_800, "in 2 d")]
        {
            assert_eq!(When::new(at, now_s + offset_s).rel, expected);
        }
        assert_eq!(When::new(at, 0).abs, "2027-01-31 09:00:00 UTC");
        assert_eq!(When::new("", 0), When::default());
        assert_eq!(When::at(0, 5).rel, "5 s ago");
    }
}
