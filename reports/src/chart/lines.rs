//! Lines with bands, dashed where they were not seen but computed.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, LineSeries, Polygon,
    SVGBackend, Text,
};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::bars::text;
use super::ink::Ink;
use super::scale::{Scale, axis};
use super::svg::{Caption, Layout, finish};
use super::width::{fit, width};
use crate::html::format::significant;
use crate::html::text::clip;

/// One point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinePoint {
    /// Where on the horizontal axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Its interval.
    pub band: Option<(f64, f64)>,
    /// True when the value was not seen: the line that leads to it is dashed.
    pub extrapolated: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name, written at its end.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
    /// Its points, sorted by `x`.
    pub points: Vec<LinePoint>,
}

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    /// Title and description.
    pub caption: Caption<'a>,
    /// The lines.
    pub lines: Vec<Line>,
    /// Units of the vertical axis.
    pub scale: Scale,
    /// True when the vertical axis may be logarithmic: it is where one line lies ten times above another, which would be
    /// flat on an even axis.
    pub logarithmic_if_spread: bool,
    /// What the horizontal axis shows.
    pub x_label: &'a str,
    /// What follows a number on the horizontal axis, e.g. `×`.
    pub x_suffix: &'a str,
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Draws the lines.
#[must_use]
pub fn lines(chart: &LineChart<'_>, layout: Layout) -> String {
    let mut clean = chart.clone();
    for line in &mut clean.lines {
        line.points.retain(|p| p.x.abs() < 1e9 && p.y.is_finite());
        for point in &mut line.points {
            point.band = point
                .band
                .filter(|(low, high)| low.is_finite() && high.is_finite());
            point.y /= clean.scale.divisor;
            point.band = point
                .band
                .map(|(low, high)| (low / clean.scale.divisor, high / clean.scale.divisor));
        }
    }
    clean.lines.retain(|line| !line.points.is_empty());
    let size = match layout {
        Layout::Wide => (layout.width(), 340),
        Layout::Narrow => (layout.width(), 300),
    };
    let mut drawn = String::new();
    let result = {
        let root = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        draw(&root, &clean, layout)
    };
    if result.is_err() {
        drawn.clear();
    }
    finish(&drawn, &chart.caption, layout, size.0, size.1)
}

fn draw(root: &DrawingArea<SVGBackend<'_>, Shift>, chart: &LineChart<'_>, layout: Layout) -> Drawn {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let x_min = points().map(|p| p.x).fold(f64::INFINITY, f64::min);
    let x_max = points().map(|p| p.x).fold(f64::NEG_INFINITY, f64::max);
    if x_min > x_max {
        return root.present();
    }
    let vertical = Vertical::of(chart);
    let within = |value: f64| vertical.place(value);
    let scaled: Vec<Line> = chart
        .lines
        .iter()
        .map(|line| Line {
            points: line
                .points
                .iter()
                .map(|p| LinePoint {
                    y: within(p.y),
                    band: p.band.map(|(low, high)| (within(low), within(high))),
                    ..*p
                })
                .collect(),
            ..line.clone()
        })
        .collect();
    let span = if x_max > x_min { x_max - x_min } else { 1.0 };
    let labels_width = match layout {
        Layout::Wide => 190,
        Layout::Narrow => 14,
    };
    let widest = (0..=8)
        .map(|n| vertical.bottom + f64::from(n) * vertical.step)
        .filter(|mark| *mark <= vertical.top + 0.001 * vertical.step)
        .map(|mark| width(&vertical.label(mark), 12.0))
        .fold(0.0, f64::max);
    // Nine digits at most, and their commas.
    let left = (libm::ceil(widest) as i32 + 12).clamp(52, 150);
    let mut built = ChartBuilder::on(root)
        .margin_top(22)
        .margin_right(labels_width)
        .margin_bottom(6)
        .x_label_area_size(40)
        .y_label_area_size(left)
        .build_cartesian_2d(x_min..x_min + span, vertical.bottom..vertical.top)?;
    built
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(Ink::Rule.marker().mix(0.0))
        .bold_line_style(Ink::Rule.marker().stroke_width(1))
        .axis_style(Ink::Rule.marker().stroke_width(1))
        .x_labels(if x_max > x_min { 5 } else { 1 })
        .y_labels(vertical.marks())
        .label_style(text(12.0, Ink::Muted, HPos::Center))
        .x_label_formatter(&|x| format!("{}{}", significant(*x, 3), chart.x_suffix))
        .y_label_formatter(&|y| vertical.label(*y))
        .draw()?;
    for at in vertical.between() {
        let ends = [(x_min, at), (x_min + span, at)];
        let colour = Ink::Rule.marker().mix(0.5);
        built.draw_series(LineSeries::new(ends, colour.stroke_width(1)))?;
    }
    for line in &scaled {
        let banded: Vec<_> = line
            .points
            .iter()
            .map(|p| (p.x, p.band.unwrap_or((p.y, p.y))))
            .collect();
        if line.points.iter().any(|p| p.band.is_some()) {
            let outline: Vec<(f64, f64)> = banded
                .iter()
                .map(|(x, (low, _))| (*x, *low))
                .chain(banded.iter().rev().map(|(x, (_, high))| (*x, *high)))
                .collect();
            built.draw_series([Polygon::new(outline, line.ink.marker().mix(0.16))])?;
        }
        for pair in line.points.windows(2) {
            let [from, to] = pair else { continue };
            let ends = [(from.x, from.y), (to.x, to.y)];
            let colour = if to.extrapolated {
                line.ink.dashed_marker()
            } else {
                line.ink.marker()
            };
            built.draw_series(LineSeries::new(ends, colour.stroke_width(2)))?;
        }
        built.draw_series(
            line.points
                .iter()
                .map(|p| Circle::new((p.x, p.y), 3, line.ink.marker().filled())),
        )?;
    }
    let ends: Vec<(i32, i32, &Line)> = scaled
        .iter()
        .filter_map(|line| {
            let last = line.points.last()?;
            let (x, y) = built.backend_coord(&(last.x, last.y));
            Some((x, y, line))
        })
        .collect();
    if layout == Layout::Wide {
        label_ends(root, ends)?;
    }
    let height = i32::try_from(root.dim_in_pixel().1).unwrap_or(0);
    root.draw(&Text::new(
        clip(chart.x_label, 42),
        (left, height - 10),
        text(12.0, Ink::Muted, HPos::Left),
    ))?;
    root.draw(&Text::new(
        chart.scale.unit.to_owned(),
        (left - 8, 8),
        text(12.0, Ink::Muted, HPos::Right),
    ))?;
    if vertical.logarithmic {
        root.draw(&Text::new(
            match layout {
                Layout::Wide => "logarithmic: each mark is ten times the one below",
                Layout::Narrow => "logarithmic",
            },
            (left + 4, 8),
            text(12.0, Ink::Muted, HPos::Left),
        ))?;
    }
    root.present()
}

/// The vertical axis: where a value lies on it, and what stands beside its marks.
struct Vertical {
    /// Values are powers of ten.
    logarithmic: bool,
    /// What an even axis divides values by: a power of ten.
    power: f64,
    bottom: f64,
    top: f64,
    /// From one mark to the next.
    step: f64,
}

/// How far one line lies above another before an even axis would flatten the lower.
const SPREAD: f64 = 10.0;
/// Most powers of ten on an axis.
const DECADES: f64 = 7.0;

impl Vertical {
    fn of(chart: &LineChart<'_>) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let tops = || {
            let top = |line: &Line| line.points.iter().map(|p| p.y).fold(0.0, f64::max);
            chart.lines.iter().map(top)
        };
        let (least, most) = (
            tops().fold(f64::INFINITY, f64::min),
            tops().fold(0.0, f64::max),
        );
        let all_above_zero = points().all(|p| p.y > 0.0);
        if chart.logarithmic_if_spread && all_above_zero && most > SPREAD * least {
            let lowest = points().map(|p| p.y).fold(f64::INFINITY, f64::min);
            let top = libm::ceil(libm::log10(most));
            let bottom = libm::floor(libm::log10(lowest)).max(top - DECADES);
            return Self {
                logarithmic: true,
                power: 1.0,
                bottom,
                top: top.max(bottom + 1.0),
                step: 1.0,
            };
        }
        let y_max = points()
            .map(|p| {
                p.band
                    .map_or(p.y, |(_, high)| high.max(p.y).min(p.y.max(0.0) * 3.0))
            })
            .fold(0.0, f64::max);
        // Plotters gets numbers between 0 and 10: its search for round marks does not end well at 10^300.
        let power = libm::pow(10.0, libm::floor(libm::log10(y_max.clamp(1e-300, 1e300))));
        let (top, step) = axis(y_max / power);
        Self {
            logarithmic: false,
            power,
            bottom: 0.0,
            top,
            step,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let at = if self.logarithmic {
            libm::log10(value.max(f64::MIN_POSITIVE))
        } else {
            value / self.power
        };
        at.clamp(self.bottom, self.top)
    }

    fn label(&self, at: f64) -> String {
        let value = if self.logarithmic {
            libm::pow(10.0, at)
        } else {
            at * self.power
        };
        significant(value, 3)
    }

    /// Between 3 and 7 for what an even axis can hold.
    fn marks(&self) -> usize {
        let marks = libm::round((self.top - self.bottom) / self.step) + 1.0;
        marks.clamp(2.0, 8.0) as usize
    }

    /// Lines between the marks: twice to nine times the lower of them, which show that the axis is not even.
    fn between(&self) -> Vec<f64> {
        if !self.logarithmic {
            return Vec::new();
        }
        let decades = libm::round(self.top - self.bottom) as i32;
        (0..decades)
            .flat_map(|decade| {
                let from = self.bottom + f64::from(decade);
                (2..=9).map(move |times| from + libm::log10(f64::from(times)))
            })
            .collect()
    }
}

/// Writes each line's name beside its last point, moved down where names would lie on each other.
fn label_ends(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    mut ends: Vec<(i32, i32, &Line)>,
) -> Drawn {
    ends.sort_by(|a, b| (a.1, &a.2.label).cmp(&(b.1, &b.2.label)));
    // A column of names that fits above the axis: the lowest may not slide into the caption.
    let lowest = i32::try_from(root.dim_in_pixel().1).unwrap_or(0) - 52;
    let mut next = i32::MIN;
    let mut placed: Vec<i32> = Vec::with_capacity(ends.len());
    for (_, y, _) in &ends {
        let at = (*y).max(next);
        placed.push(at);
        next = at + 16;
    }
    let mut limit = lowest;
    for at in placed.iter_mut().rev() {
        *at = (*at).min(limit);
        limit = *at - 16;
    }
    for ((x, _, line), y) in ends.iter().zip(placed) {
        root.draw(&Text::new(
            fit(&line.label, 13.0, 176.0),
            (x + 10, y),
            text(13.0, line.ink, HPos::Left),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<LinePoint>) -> LineChart<'static> {
        LineChart {
            caption: Caption {
                id: "cap",
                title: "Cores",
                description: "By load",
            },
            lines: vec![Line {
                label: "store".to_owned(),
                ink: Ink::Handler,
                points,
            }],
            scale: Scale::plain("cores"),
            logarithmic_if_spread: false,
            x_label: "Load",
            x_suffix: "×",
        }
    }

    fn point(x: f64, y: f64, extrapolated: bool) -> LinePoint {
        LinePoint {
            x,
            y,
            band: Some((y * 0.9, y * 1.1)),
            extrapolated,
        }
    }

    #[test]
    fn band_and_line_in_the_series_colour() {
        let svg = lines(
            &chart(vec![point(1.0, 0.5, false), point(2.0, 1.0, true)]),
            Layout::Wide,
        );
        assert!(
            svg.contains("<polygon") && svg.contains("class=\"f-handler\""),
            "{svg}"
        );
        assert!(svg.contains("class=\"s-handler dash\""), "{svg}");
        assert!(svg.contains("store"), "{svg}");
    }

    #[test]
    fn lines_far_apart_stand_on_a_logarithmic_axis() {
        let of = |low: f64, high: f64| {
            let mut chart = chart(vec![point(1.0, high / 2.0, false), point(2.0, high, true)]);
            chart.logarithmic_if_spread = true;
            chart.lines.push(Line {
                points: vec![point(1.0, low, false), point(2.0, low * 1.5, true)],
                ..chart.lines[0].clone()
            });
            chart
        };
        let far = of(0.2, 400.0);
        let vertical = Vertical::of(&far);
        assert!(vertical.logarithmic);
        assert_eq!((vertical.bottom, vertical.top), (-1.0, 3.0));
        assert_eq!(vertical.label(-1.0), "0.1");
        assert_eq!(vertical.label(3.0), "1,000");
        assert_eq!(
            vertical.place(0.0),
            -1.0,
            "the end of a band below the axis"
        );
        let svg = lines(&far, Layout::Wide);
        for mark in ["0.1", "1", "10", "100", "1,000"] {
            assert!(svg.contains(&format!(">{mark}</text>")), "{mark} in {svg}");
        }
        assert!(svg.contains("logarithmic"), "{svg}");
        assert!(!lines(&of(300.0, 400.0), Layout::Wide).contains("logarithmic"));
        for (low, high) in [
            (1e-300, 1e300),
            (f64::MIN_POSITIVE, 1.0),
            (0.0, 1.0),
            (-1.0, 5.0),
        ] {
            let svg = lines(&of(low, high), Layout::Narrow);
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn odd_values_do_no_harm() {
        for points in [
            Vec::new(),
            vec![point(1.0, 0.0, false)],
            vec![
                point(f64::NAN, 1.0, false),
                point(1.0, f64::INFINITY, false),
            ],
            vec![point(1.0, 1e300, false), point(5.0, 0.0, true)],
            vec![point(1.0, 1e-300, false), point(5.0, 2e-300, true)],
            vec![point(1.0, -3.0, false), point(2.0, -4.0, true)],
            vec![point(f64::MAX, 1.0, false), point(1.0, f64::MAX, true)],
            vec![
                point(1.0, f64::MIN_POSITIVE, false),
                point(2.0, f64::MIN_POSITIVE, true),
            ],
        ] {
            for layout in [Layout::Wide, Layout::Narrow] {
                let svg = lines(&chart(points.clone()), layout);
                assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
            }
        }
    }
}
