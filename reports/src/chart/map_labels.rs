//! Labels on the edges of the map: each near its own line, off all lines, nodes and other labels.

use super::map::{MapEdge, link};
use super::svg::Layout;
use super::width::width;
use crate::html::text::{clip, escape_text};

/// A part of the drawing, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn around((x, y): (f64, f64), (half_width, half_height): (f64, f64)) -> Self {
        Self {
            left: x - half_width,
            top: y - half_height,
            right: x + half_width,
            bottom: y + half_height,
        }
    }

    fn holds(self, other: Self) -> bool {
        self.left <= other.left
            && self.top <= other.top
            && self.right >= other.right
            && self.bottom >= other.bottom
    }

    fn meets(self, other: Self) -> bool {
        self.left < other.right
            && self.right > other.left
            && self.top < other.bottom
            && self.bottom > other.top
    }

    /// From its edge to a point; 0 inside.
    fn distance(self, (x, y): (f64, f64)) -> f64 {
        let dx = (self.left - x).max(x - self.right).max(0.0);
        let dy = (self.top - y).max(y - self.bottom).max(0.0);
        libm::hypot(dx, dy)
    }
}

/// A piece of a line that is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub(super) at: (f64, f64),
    /// Half of the line's width.
    pub(super) half: f64,
    /// Whose line it is; none for a boundary.
    pub(super) edge: Option<usize>,
}

impl Stroke {
    /// Of a boundary.
    pub(super) fn of_none(at: (f64, f64)) -> Self {
        Self {
            at,
            half: 1.0,
            edge: None,
        }
    }
}

/// Size of the text, pixels.
const TEXT: f64 = 11.0;
/// Between a label and a line, at least.
const CLEAR: f64 = 4.0;
/// From one place that is tried to the next.
const STEP: f64 = 8.0;
/// How far beside its line a label may stand.
const FAR: f64 = 26.0;
/// What it costs a place, in pixels of distance, that another line is nearer than the label's own.
const MISTAKEN: f64 = 90.0;
/// The same for lying on a line, and for each piece of it that is hidden.
const CROSSED: f64 = 1_000.0;
const HIDDEN: f64 = 20.0;

/// How far from a point of a line the middle of a label may stand in one direction: in steps, and where it just clears
/// the line.
fn offsets(half: f64) -> Vec<f64> {
    let count = libm::ceil((half + FAR) / STEP) as i32;
    let beside = half + CLEAR + 2.0;
    let mut out: Vec<f64> = (-count..=count).map(|n| f64::from(n) * STEP).collect();
    out.extend([-beside, beside]);
    out
}

/// Labels that are placed so far, and what they keep off.
pub(super) struct Labels {
    /// What is drawn.
    area: Area,
    /// Nodes and labels.
    taken: Vec<Area>,
    lines: Vec<Stroke>,
}

impl Labels {
    pub(super) fn new(area: Area) -> Self {
        Self {
            area,
            taken: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Nothing may stand here.
    pub(super) fn take(&mut self, area: Area) {
        self.taken.push(area);
    }

    /// Here is a line.
    pub(super) fn draw(&mut self, stroke: Stroke) {
        self.lines.push(stroke);
    }

    /// Where the label of an edge stands best: on no node and no other label, on no line, nearer to its own line than to
    /// others, near the middle of its way. Where everything is taken, on that middle.
    fn place(&self, edge: usize, middle: (f64, f64), half: (f64, f64)) -> (f64, f64) {
        let (half_width, half_height) = half;
        let own: Vec<(f64, f64)> = self
            .lines
            .iter()
            .filter(|stroke| stroke.edge == Some(edge))
            .map(|stroke| stroke.at)
            .collect();
        let (across, down) = (offsets(half_width), offsets(half_height));
        let mut best: Option<(f64, (f64, f64))> = None;
        for anchor in own.iter().step_by(2).chain([&middle]) {
            let off = libm::hypot(anchor.0 - middle.0, anchor.1 - middle.1);
            for dx in &across {
                for dy in &down {
                    let at = (anchor.0 + dx, anchor.1 + dy);
                    let label = Area::around(at, half);
                    // No place that is worse already needs to be looked at.
                    let beside = 3.0 * label.distance(*anchor) + 0.5 * libm::hypot(*dx, *dy);
                    let so_far = off + beside;
                    if best.is_some_and(|(cost, _)| so_far >= cost)
                        || !self.area.holds(label)
                        || self.taken.iter().any(|taken| taken.meets(label))
                    {
                        continue;
                    }
                    let cost = so_far + self.trouble(edge, label);
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, at));
                    }
                }
            }
        }
        best.map_or(middle, |(_, at)| at)
    }

    /// What is wrong with a place for the label of an edge.
    fn trouble(&self, edge: usize, label: Area) -> f64 {
        let (mut own, mut other) = (f64::INFINITY, f64::INFINITY);
        let mut hidden = 0.0;
        for stroke in &self.lines {
            let distance = label.distance(stroke.at) - stroke.half;
            if distance < CLEAR {
                hidden += 1.0;
            }
            match stroke.edge {
                Some(index) if index == edge => own = own.min(distance),
                Some(_) => other = other.min(distance),
                None => {}
            }
        }
        if hidden > 0.0 {
            CROSSED + HIDDEN * hidden
        } else if other < own + CLEAR {
            MISTAKEN
        } else {
            0.0
        }
    }

    /// Draws the label of an edge whose middle is there.
    pub(super) fn text(
        &mut self,
        index: usize,
        edge: &MapEdge,
        middle: (f64, f64),
        layout: Layout,
    ) -> String {
        let lines: Vec<String> = match layout {
            Layout::Wide => {
                let whole = edge.label.iter().take(3);
                whole.map(|line| clip(line, 22)).collect()
            }
            // Between the lines of a narrow map there is no room for more.
            Layout::Narrow => {
                let short = edge.short_label.iter().take(2);
                short.map(|line| clip(line, 14)).collect()
            }
        };
        if lines.iter().all(String::is_empty) {
            return String::new();
        }
        let widest = lines.iter().map(|line| width(line, TEXT));
        let half = (
            widest.fold(0.0, f64::max) / 2.0 + 2.0,
            7.0 * lines.len() as f64,
        );
        let (x, y) = self.place(index, middle, half);
        let label = Area::around((x, y), half);
        self.taken.push(label);
        let mut inner = format!(
            "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\" fill-opacity=\".8\" \
             class=\"f-page\"/>",
            label.left,
            label.top,
            half.0 * 2.0,
            half.1 * 2.0,
        );
        for (index, line) in lines.iter().enumerate() {
            inner.push_str(&format!(
                "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"{TEXT}\" class=\"f-text\">{}</text> ",
                label.top + 11.0 + 14.0 * index as f64,
                escape_text(line),
            ));
        }
        // What is seen belongs to what is read out, word by word: hence the space after each text.
        let read = format!("{}: {}", lines.join(" "), edge.description);
        link(edge.anchor.as_deref(), &read, &inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Area = Area {
        left: 0.0,
        top: 0.0,
        right: 300.0,
        bottom: 300.0,
    };

    fn line(edge: usize, y: f64) -> impl Iterator<Item = Stroke> {
        (0..=60).map(move |n| Stroke {
            at: (f64::from(n) * 5.0, y),
            half: 1.0,
            edge: Some(edge),
        })
    }

    fn labels(lines: &[(usize, f64)]) -> Labels {
        let mut labels = Labels::new(WHOLE);
        for (edge, y) in lines {
            line(*edge, *y).for_each(|stroke| labels.draw(stroke));
        }
        labels
    }

    #[test]
    fn a_label_stands_beside_its_line_and_on_none() {
        let labels = labels(&[(0, 100.0)]);
        let (x, y) = labels.place(0, (150.0, 100.0), (40.0, 20.0));
        assert!((x - 150.0).abs() < 6.0, "at the middle: {x}");
        let beside = (y - 100.0).abs() - 20.0;
        assert!((5.0..=13.0).contains(&beside), "{y}");
    }

    #[test]
    fn a_label_stands_where_nothing_else_does() {
        let mut labels = labels(&[(0, 100.0)]);
        labels.take(Area {
            bottom: 95.0,
            ..WHOLE
        });
        let (_, y) = labels.place(0, (150.0, 100.0), (40.0, 20.0));
        assert!(y >= 125.0, "below, where something is above: {y}");
        labels.take(WHOLE);
        let place = labels.place(0, (150.0, 100.0), (40.0, 20.0));
        assert_eq!(place, (150.0, 100.0), "and where there is no room, on it");
    }

    #[test]
    fn a_label_is_nearest_to_its_own_line() {
        let labels = labels(&[(0, 100.0), (1, 152.0), (2, 48.0)]);
        for (edge, y) in [(0, 100.0), (1, 152.0), (2, 48.0)] {
            let at = labels.place(edge, (150.0, y), (30.0, 16.0));
            let near = [(0, 100.0), (1, 152.0), (2, 48.0)]
                .into_iter()
                .min_by(|(_, a), (_, b)| (a - at.1).abs().total_cmp(&(b - at.1).abs()))
                .map(|(line, _)| line);
            assert_eq!(near, Some(edge), "{at:?}");
        }
    }

    #[test]
    fn a_label_stays_in_the_drawing() {
        let labels = labels(&[(0, 8.0)]);
        let (x, y) = labels.place(0, (2.0, 8.0), (40.0, 20.0));
        assert!(WHOLE.holds(Area::around((x, y), (40.0, 20.0))), "{x} {y}");
    }
}
