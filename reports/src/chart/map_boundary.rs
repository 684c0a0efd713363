//! Boundaries drawn over the map: one line around all nodes that a proposal is about.

/// The place of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

type Place = (f64, f64);

/// Between a node and the line around it.
const SPACE: f64 = 5.0;

impl Frame {
    /// The node with this upper left corner.
    pub(super) fn around((x, y): Place, width: f64, height: f64) -> Self {
        Self {
            left: x,
            top: y,
            right: x + width,
            bottom: y + height,
        }
    }

    /// The corners of the frame, `space` away from it.
    fn corners(self, space: f64) -> [Place; 4] {
        let (left, right) = (self.left - space, self.right + space);
        let (top, bottom) = (self.top - space, self.bottom + space);
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    }

    fn centre(self) -> Place {
        (
            f64::midpoint(self.left, self.right),
            f64::midpoint(self.top, self.bottom),
        )
    }

    /// Points that tell whether something lies over it.
    fn points(self) -> [Place; 9] {
        let [a, b, c, d] = self.corners(0.0);
        let (x, y) = self.centre();
        [
            a,
            b,
            c,
            d,
            (x, y),
            (x, self.top),
            (x, self.bottom),
            (self.left, y),
            (self.right, y),
        ]
    }
}

/// A boundary that is proposed.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    /// The line around its nodes.
    pub(super) path: String,
    /// Points along that line.
    pub(super) points: Vec<Place>,
    /// The nodes that its number stands on.
    pub(super) marked: Vec<usize>,
}

/// The boundary of these nodes: one line around all, with its number on the first, where no other node lies between
/// them; else one around each, and the number on each.
pub(super) fn boundary(nodes: &[usize], frames: &[Frame]) -> Boundary {
    let mine: Vec<Frame> = nodes
        .iter()
        .filter_map(|n| frames.get(*n).copied())
        .collect();
    let corners = mine.iter().flat_map(|frame| frame.corners(SPACE)).collect();
    let around = hull(corners);
    let between = frames
        .iter()
        .enumerate()
        .filter(|(n, _)| !nodes.contains(n))
        .any(|(_, other)| other.points().iter().any(|p| inside(*p, &around)));
    let (lines, marked) = if between {
        let each = mine.iter().map(|frame| frame.corners(SPACE).to_vec());
        (each.collect(), nodes.to_vec())
    } else {
        (vec![around], nodes.iter().copied().take(1).collect())
    };
    let path: String = lines.iter().map(|line| outline(line)).collect();
    Boundary {
        path: if path.is_empty() {
            path
        } else {
            format!("<path d=\"{path}\" class=\"hull\"/>")
        },
        points: lines.iter().flat_map(|line| along(line)).collect(),
        marked,
    }
}

/// Points along a closed line, close enough that no label slips between two.
fn along(around: &[Place]) -> Vec<Place> {
    const APART: f64 = 6.0;
    let next = around.iter().skip(1).chain(around.first());
    let mut points = Vec::new();
    for (a, b) in around.iter().zip(next) {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let count = libm::ceil(libm::hypot(dx, dy) / APART).max(1.0);
        let mut step = 0.0;
        while step < count {
            points.push((a.0 + dx * step / count, a.1 + dy * step / count));
            step += 1.0;
        }
    }
    points
}

fn outline(around: &[Place]) -> String {
    if around.is_empty() {
        return String::new();
    }
    let points: Vec<String> = around
        .iter()
        .map(|(x, y)| format!("{x:.0} {y:.0}"))
        .collect();
    format!("M{}z", points.join("L"))
}

/// The convex hull of points (Andrew 1979), in the order of the clock.
fn hull(mut points: Vec<Place>) -> Vec<Place> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let half = |points: &mut dyn Iterator<Item = Place>| {
        let mut out: Vec<Place> = Vec::new();
        for point in points {
            while let [.., a, b] = out[..] {
                if turn(a, b, point) > 0.0 {
                    break;
                }
                out.pop();
            }
            out.push(point);
        }
        out.pop();
        out
    };
    let mut out = half(&mut points.iter().copied());
    out.extend(half(&mut points.iter().rev().copied()));
    out
}

/// Above zero when the way from `a` over `b` to `c` turns with the clock, as pixels count.
fn turn(a: Place, b: Place, c: Place) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

/// Is the point inside this hull?
fn inside(point: Place, around: &[Place]) -> bool {
    let next = around.iter().skip(1).chain(around.first());
    around.len() > 2
        && around
            .iter()
            .zip(next)
            .all(|(a, b)| turn(*a, *b, point) >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Frame {
        Frame::around((x, y), 100.0, 60.0)
    }

    #[test]
    fn neighbours_have_one_line_around_both() {
        let frames = [at(0.0, 0.0), at(200.0, 100.0), at(0.0, 300.0)];
        let Boundary {
            path,
            points,
            marked,
        } = boundary(&[0, 1], &frames);
        assert_eq!(path.matches('M').count(), 1, "{path}");
        assert_eq!(path.matches('L').count(), 5, "six corners: {path}");
        assert_eq!(marked, [0]);
        let apart = |pair: &[Place]| libm::hypot(pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        assert!(points.windows(2).all(|pair| apart(pair) <= 6.1));
    }

    #[test]
    fn what_lies_between_is_not_enclosed() {
        let frames = [at(0.0, 0.0), at(400.0, 0.0), at(200.0, 0.0)];
        let found = boundary(&[0, 1], &frames);
        let path = found.path;
        assert_eq!(path.matches('z').count(), 2, "a line around each: {path}");
        assert_eq!(found.marked, [0, 1], "and the number on each");
    }
}
