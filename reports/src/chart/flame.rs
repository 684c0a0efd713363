//! Flame graphs, the root on top: how a cost divides over the ways on which it came about.
//!
//! Inferno lays them out. It gets numbers instead of names and its drawing is drawn anew: no text from outside goes
//! through it, and no script, style or colour of it comes out.

use inferno::flamegraph::{Direction, Options, from_lines};

use super::ink::Ink;
use super::svg::{Caption, Layout, open};
use super::width::{fit, width};
use crate::html::text::{clip, escape_text, sanitize};

/// One frame: a part of the frame above it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlameFrame {
    /// Index of the frame of which this is a part; it stands before this one in the list.
    pub parent: Option<usize>,
    /// Its name.
    pub label: String,
    /// What stands in the frame where its name has no room; nothing does where this has none either.
    pub short: String,
    /// What it costs itself, without its parts. Not finite or negative counts as nothing.
    pub own: f64,
    /// What it is, for who rests on it.
    pub description: String,
    /// Its colour; none for a frame that is made of others.
    pub ink: Option<Ink>,
    /// Identifier of the row that it leads to.
    pub anchor: Option<String>,
}

/// A flame graph.
#[derive(Clone, Debug)]
pub struct Flame<'a> {
    /// Title and description.
    pub caption: Caption<'a>,
    /// The frames, each after the one that holds it.
    pub frames: Vec<FlameFrame>,
}

/// Most frames drawn; the rest of a tree is not.
pub const FRAMES_MAX: usize = 2_000;
/// Height of a frame, pixels.
const ROW: usize = 24;
/// The drawing's width, pixels; inferno leaves 10 at each side.
const WIDTH: u32 = 880;
/// Size of the labels, pixels; the style sheet has it too.
const TEXT: f64 = 12.0;
/// Letters that a cut name keeps at least: of fewer nobody can tell what it was.
const LETTERS_LEAST: usize = 20;
/// Counts that the whole graph is divided into: enough that no rounding can be seen.
const COUNTS: f64 = 1e9;

/// Where a frame lies.
struct Placed {
    frame: usize,
    /// 0 to 1 of the whole width.
    left: f64,
    width: f64,
    row: usize,
}

/// Draws a flame graph; an empty frame when nothing in it costs anything.
#[must_use]
pub fn flame(graph: &Flame<'_>) -> String {
    let placed = layout(&graph.frames);
    let rows = placed.iter().map(|p| p.row + 1).max().unwrap_or(1);
    let height = u32::try_from(rows * ROW).unwrap_or(u32::MAX);
    let mut out = open(&graph.caption, Layout::Wide, "group", WIDTH, height).replacen(
        "class=\"chart wide\"",
        "class=\"chart flame\"",
        1,
    );
    for place in placed {
        if let Some(frame) = graph.frames.get(place.frame) {
            out.push_str(&draw(frame, &place));
        }
    }
    out.push_str("</svg>");
    out
}

fn draw(frame: &FlameFrame, at: &Placed) -> String {
    let (x, wide) = (at.left * f64::from(WIDTH), at.width * f64::from(WIDTH));
    let y = at.row * ROW;
    let class = frame
        .ink
        .map_or("fl".to_owned(), |ink| format!("f-{}", ink.name()));
    let mut inner = format!(
        "<title>{}</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" class=\"{class}\"/>",
        escape_text(&clip(&frame.description, 300)),
        (wide - 1.0).max(0.4),
        ROW - 2,
    );
    // A class has its colour, and the legend its name.
    let written = match frame.ink {
        Some(_) => None,
        None => written(frame, wide - 8.0),
    };
    if let Some(written) = written {
        inner.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" class=\"f-text\">{}</text>",
            x + 4.0,
            y + 15,
            escape_text(&written),
        ));
    }
    match &frame.anchor {
        Some(anchor) => format!("<a href=\"#{anchor}\" tabindex=\"-1\">{inner}</a>"),
        None => format!("<g>{inner}</g>"),
    }
}

/// What has room in a frame: its name, its short name, or its name with enough of it left to be known by. Whoever rests
/// on the frame reads the whole, and it stands in the table.
fn written(frame: &FlameFrame, room: f64) -> Option<String> {
    let whole = |text: &str| {
        let text = sanitize(text);
        (!text.is_empty() && width(&text, TEXT) <= room).then_some(text)
    };
    let cut = || {
        let cut = fit(&frame.label, TEXT, room);
        (cut.chars().count() >= LETTERS_LEAST && width(&cut, TEXT) <= room).then_some(cut)
    };
    whole(&frame.label)
        .or_else(cut)
        .or_else(|| whole(&frame.short))
}

/// Gives the frames to inferno as numbers, and reads where it put them.
fn layout(frames: &[FlameFrame]) -> Vec<Placed> {
    let own = |frame: &FlameFrame| {
        if frame.own.is_finite() {
            frame.own.max(0.0)
        } else {
            0.0
        }
    };
    let whole: f64 = frames.iter().take(FRAMES_MAX).map(own).sum();
    if !(whole.is_finite() && whole > 0.0) {
        return Vec::new();
    }
    let mut paths: Vec<String> = Vec::with_capacity(frames.len().min(FRAMES_MAX));
    let mut lines = Vec::new();
    for (index, frame) in frames.iter().take(FRAMES_MAX).enumerate() {
        // Of equal length, so that their order as text is the order of the list.
        let path = match frame.parent.and_then(|parent| paths.get(parent)) {
            Some(above) => format!("{above};{index:04}"),
            None => format!("{index:04}"),
        };
        let counts = (own(frame) / whole * COUNTS).round();
        lines.push(format!("{path} {counts:.0}"));
        paths.push(path);
    }
    let mut options = Options::default();
    options.direction = Direction::Inverted;
    options.no_javascript = true;
    options.image_width = Some(WIDTH as usize);
    options.frame_height = ROW;
    options.min_width = 0.05;
    options.title = String::new();
    let mut drawn = Vec::new();
    if from_lines(&mut options, lines.iter().map(String::as_str), &mut drawn).is_err() {
        return Vec::new();
    }
    let drawn = String::from_utf8(drawn).unwrap_or_default();
    let mut placed: Vec<Placed> = drawn.split("<title>").skip(1).filter_map(read).collect();
    let top = placed.iter().map(|p| p.row).min().unwrap_or(0);
    placed.iter_mut().for_each(|p| p.row -= top);
    let narrow = placed.iter().map(|p| p.left).fold(f64::INFINITY, f64::min);
    let wide = placed
        .iter()
        .map(|p| p.left + p.width)
        .fold(f64::NEG_INFINITY, f64::max);
    let span = wide - narrow;
    if span.is_nan() || span <= 0.0 {
        return Vec::new();
    }
    for p in &mut placed {
        p.left = (p.left - narrow) / span;
        p.width /= span;
    }
    placed
}

/// One frame of inferno's drawing: `12 (… )</title><rect x="1.5%" y="36" width="3%"…`. Its own frame around all
/// others has no number.
fn read(text: &str) -> Option<Placed> {
    let frame = text.split_once(' ')?.0.parse().ok()?;
    let rect = text.split_once("<rect ")?.1;
    let attribute = |name: &str| {
        let (_, rest) = rect.split_once(&format!("{name}=\""))?;
        let value = rest.split_once('"')?.0;
        value.trim_end_matches('%').parse::<f64>().ok()
    };
    let y = attribute("y").filter(|y| (0.0..1e7).contains(y))?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    let row = (y / ROW as f64) as usize;
    Some(Placed {
        frame,
        left: attribute("x")?,
        width: attribute("width")?,
        row,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(parent: Option<usize>, label: &str, own: f64) -> FlameFrame {
        FlameFrame {
            parent,
            label: label.to_owned(),
            short: label.chars().take(6).collect(),
            own,
            description: format!("what {label} is"),
            ink: None,
            anchor: None,
        }
    }

    fn graph(frames: Vec<FlameFrame>) -> Flame<'static> {
        Flame {
            caption: Caption {
                id: "f",
                title: "Where it goes",
                description: "By way",
            },
            frames,
        }
    }

    #[test]
    fn parts_lie_under_the_whole_and_are_as_wide_as_what_they_cost() {
        let frames = vec![
            frame(None, "root", 10.0),
            frame(Some(0), "a", 30.0),
            frame(Some(1), "deep", 20.0),
            frame(Some(0), "b", 40.0),
        ];
        let placed = layout(&frames);
        let of = |n: usize| placed.iter().find(|p| p.frame == n).unwrap();
        for (n, width, row) in [(0, 1.0, 0), (1, 0.5, 1), (2, 0.2, 2), (3, 0.4, 1)] {
            assert!((of(n).width - width).abs() < 1e-3, "{n}: {}", of(n).width);
            assert_eq!(of(n).row, row, "{n}");
        }
        assert!(of(1).left <= of(2).left && of(2).left < of(3).left);
        let svg = flame(&graph(frames));
        assert!(svg.contains(">root</text>") && svg.contains(">deep</text>"));
    }

    #[test]
    fn no_label_is_wider_than_its_frame_and_none_is_cut_to_a_few_letters() {
        let label = "accounting: pools, connections, brokers";
        for own in [0.5, 2.0, 5.0, 8.0, 12.0, 20.0, 40.0] {
            let frames = vec![
                frame(None, "root", 100.0 - own),
                FlameFrame {
                    short: "accounting".to_owned(),
                    ..frame(Some(0), label, own)
                },
            ];
            let room = own / 100.0 * f64::from(WIDTH) - 8.0;
            match written(&frames[1], room) {
                Some(text) => {
                    assert!(width(&text, TEXT) <= room, "{text} in {room}");
                    assert!(text.chars().count() >= 10, "{text}");
                }
                None => assert!(width("accounting", TEXT) > room, "{room}"),
            }
            let svg = flame(&graph(frames));
            assert!(svg.contains(&format!("what {label} is")), "{svg}");
        }
    }

    #[test]
    fn no_script_style_or_colour_comes_out_and_names_stay_text() {
        let hostile = "</title><script>alert(1)</script>;a 12\n\u{202e}\" onload=\"x";
        let mut frames = vec![frame(None, hostile, 1.0), frame(Some(0), hostile, 1.0)];
        frames[1].ink = Some(Ink::Io);
        let svg = flame(&graph(frames));
        for word in [
            "<script",
            "<style",
            "style=",
            "rgb(",
            "onload=\"",
            "url(",
            "\u{202e}",
        ] {
            assert!(!svg.contains(word), "{word} in {svg}");
        }
        assert!(svg.contains("class=\"f-io\""), "{svg}");
    }

    #[test]
    fn odd_values_do_no_harm() {
        for own in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, f64::MIN_POSITIVE] {
            let svg = flame(&graph(vec![
                frame(None, "a", own),
                frame(Some(0), "b", own),
            ]));
            assert!(
                svg.ends_with("</svg>") && !svg.contains("NaN"),
                "{own}: {svg}"
            );
        }
        assert!(flame(&graph(Vec::new())).ends_with("</svg>"));
        // A parent that is none: the frame stands alone.
        let svg = flame(&graph(vec![frame(Some(7), "a", 1.0)]));
        assert!(svg.contains(">a</text>"), "{svg}");
    }

    #[test]
    fn the_same_graph_gives_the_same_bytes() {
        let of = || {
            flame(&graph(
                (0..200)
                    .map(|n: usize| frame(n.checked_sub(1).map(|m| m / 2), "x", n as f64))
                    .collect(),
            ))
        };
        assert_eq!(of(), of());
        assert!(of().matches("<rect").count() > 150, "{}", of());
    }
}
