//! Tests of `run_waterfall`.

use super::*;

const DAY: i64 = 86_400_000;

fn work(from_ms: i64, to_ms: i64) -> Stretch {
    Stretch { from_ms, to_ms, is_work: true }
}

fn wait(from_ms: i64, to_ms: i64) -> Stretch {
    Stretch { from_ms, to_ms, is_work: false }
}

fn texts(marks: &[Mark]) -> Vec<(i64, &str)> {
    marks.iter().map(|mark| (mark.x, mark.text.as_str())).collect()
}

#[test]
fn work_is_drawn_to_scale() {
    let axis = Axis::new(1_000, 2_000, &[work(1_000, 1_500), work(1_400, 2_000)]);
    assert_eq!((axis.x(1_000), axis.x(1_250), axis.x(2_000)), (0, 250, 1_000));
    assert_eq!(axis.bar(1_400, 2_000), (400, 600));
    assert_eq!(texts(&axis.ticks()), [(0, "0"), (200, "200 ms"), (400, "400 ms"), (600, "600 ms"), (800, "800 ms")]);
    assert!(axis.breaks().is_empty());
}

#[test]
fn a_short_step_stays_visible_beside_a_long_sleep_and_a_longer_sleep_stays_longer() {
    let (a, b) = (100, 100 + 7 * DAY);
    let axis = Axis::new(0, b + 50 + DAY, &[work(0, a), wait(a, b), work(b, b + 50), wait(b + 50, b + 50 + DAY)]);
    let widths = [axis.bar(0, a).1, axis.bar(a, b).1, axis.bar(b, b + 50).1, axis.bar(b + 50, b + 50 + DAY).1];
    assert!(widths[0] > 250 && widths[2] > 120, "two fifths are left for work: {widths:?}");
    assert!(widths[1] > widths[3], "{widths:?}");
    assert_eq!(axis.breaks().iter().map(|mark| mark.text.as_str()).collect::<Vec<_>>(), ["⋯ 7 d", "⋯ 1 d"]);
    assert_eq!(axis.x(b + 50 + DAY), WIDTH);
}

#[test]
fn a_wait_beside_work_is_no_break() {
    let axis = Axis::new(0, DAY, &[wait(0, DAY), work(0, DAY / 2), work(DAY / 2, DAY)]);
    assert_eq!((axis.x(DAY / 2), axis.breaks()), (500, Vec::new()));
}

#[test]
fn places_never_go_back_and_stay_on_the_axis() {
    let stretches = [work(0, 3), wait(3, 5_000), work(5_000, 5_001), wait(5_001, 9 * DAY), work(9 * DAY, 9 * DAY + 400)];
    let axis = Axis::new(0, 9 * DAY + 500, &stretches);
    let places: Vec<i64> = (0..=1_000).map(|n| axis.x(n * (9 * DAY + 500) / 1_000)).collect();
    assert!(places.is_sorted() && places[0] == 0 && places[1_000] == WIDTH, "{places:?}");
    for stretch in stretches {
        let (x, width) = axis.bar(stretch.from_ms, stretch.to_ms);
        assert!(x >= 0 && width >= BAR_MIN && x + width <= WIDTH, "{x} {width}");
    }
    let marks: Vec<i64> = axis.ticks().into_iter().chain(axis.breaks()).map(|mark| mark.x).collect();
    assert!(marks.iter().all(|x| (0..=WIDTH).contains(x)), "{marks:?}");
}

#[test]
fn a_run_that_only_waits_or_has_not_begun_has_an_axis_too() {
    let axis = Axis::new(0, 4 * DAY, &[wait(0, DAY), wait(DAY, 4 * DAY)]);
    assert_eq!((axis.x(0), axis.x(4 * DAY)), (0, WIDTH));
    assert!(axis.x(DAY) > 300, "the shortest wait is drawn to scale");
    let none = Axis::new(7, 7, &[]);
    assert_eq!((none.x(7), none.bar(7, 7), none.ticks(), none.breaks()), (0, (0, BAR_MIN), Vec::new(), Vec::new()));
    let instant = Axis::new(7, 7, &[work(7, 7)]);
    assert_eq!(instant.bar(7, 7).1, BAR_MIN);
}

#[test]
fn after_a_break_the_axis_counts_again() {
    let axis = Axis::new(0, DAY + 6_000, &[work(0, 2_000), wait(2_000, DAY), work(DAY, DAY + 6_000)]);
    assert_eq!(texts(&axis.ticks()), [(0, "0"), (axis.x(DAY + 5_000), "+5 s")]);
}

#[test]
fn ticks_stand_at_round_times_and_leave_room_for_their_labels() {
    for ms in [7, 700, 3_300, 61_000, 4_000_000, 7 * DAY, 400 * DAY] {
        let places: Vec<i64> = Axis::new(0, ms, &[work(0, ms)]).ticks().iter().map(|tick| tick.x).collect();
        assert!(places.len() > 2 && places.windows(2).all(|pair| pair[1] - pair[0] >= LABEL), "{ms}: {places:?}");
    }
}

#[test]
fn steps_at_the_same_time_are_lanes() {
    assert_eq!(lanes(&[(0, 10), (10, 20), (20, 30)]), ["", "", ""]);
    assert_eq!(lanes(&[(0, 10), (10, 40), (10, 20), (12, 30), (40, 50)]), ["", "start", "mid", "end", ""]);
    assert_eq!(lanes(&[(0, 10), (9, 20)]), ["", ""], "clocks differ a little");
    assert_eq!(lanes(&[(5, 5), (5, 5)]), ["start", "end"], "too short to overlap, and recorded together");
    assert!(lanes(&[]).is_empty());
}

#[test]
fn a_length_has_two_units_at_most() {
    for (ms, expected) in [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (2_540, "2.5 s"),
        (60_000, "1 min"),
        (90_000, "1 min 30 s"),
        (5_400_000, "1 h 30 min"),
        (3 * DAY, "3 d"),
        (3 * DAY + 7_200_000, "3 d 2 h"),
    ] {
        assert_eq!(length(ms), expected);
    }
    assert_eq!((percent(0), percent(1_000), percent(123)), ("0".into(), "100".into(), "12.3".into()));
}
