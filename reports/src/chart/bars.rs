//! Horizontal bars, plain and stacked.

use plotters::coord::Shift;
use plotters::prelude::{
    DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, TextStyle};

use super::ink::Ink;
use super::scale::{Scale, axis};
use super::svg::{Caption, Layout, finish};
use super::width::{fit, width};
use crate::html::text::clip;

/// A part of a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Its colour.
    pub ink: Ink,
    /// Its length. Negative and infinite ones are left out.
    pub value: f64,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is the bar of.
    pub label: String,
    /// Its parts from left to right.
    pub segments: Vec<Segment>,
    /// The interval of its end, drawn as a whisker.
    pub interval: Option<(f64, f64)>,
    /// The figure beside it.
    pub value_text: String,
}

/// A chart of horizontal bars.
#[derive(Clone, Debug)]
pub struct BarChart<'a> {
    /// Title and description.
    pub caption: Caption<'a>,
    /// The bars from top to bottom.
    pub bars: Vec<Bar>,
    /// Units of the axis.
    pub scale: Scale,
    /// What the axis shows, e.g. `CPU per request`.
    pub axis_label: &'a str,
}

/// Bars of one colour each; of several segments the first is drawn.
#[must_use]
pub fn bars(chart: &BarChart<'_>, layout: Layout) -> String {
    let mut plain = chart.clone();
    for bar in &mut plain.bars {
        bar.segments.truncate(1);
    }
    stacked_bars(&plain, layout)
}

/// Bars made of segments.
#[must_use]
pub fn stacked_bars(chart: &BarChart<'_>, layout: Layout) -> String {
    let geometry = Geometry::new(chart, layout);
    let mut drawn = String::new();
    let size = (layout.width(), geometry.height);
    let result = {
        let root = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        draw(&root, chart, &geometry)
    };
    if result.is_err() {
        drawn.clear();
    }
    finish(&drawn, &chart.caption, layout, size.0, size.1)
}

/// Where things stand, in pixels.
struct Geometry {
    layout: Layout,
    /// Left end of the bars.
    left: i32,
    /// Right end of the axis.
    right: i32,
    top: i32,
    row: i32,
    thick: i32,
    height: u32,
    axis_top: f64,
    axis_step: f64,
}

/// Size of labels and figures, pixels.
const TEXT: f64 = 13.0;

/// Most room for a label beside its bar, pixels.
const LABEL_WIDTH_MAX: f64 = 340.0;

/// Most room for a figure beside its bar, pixels.
const VALUE_WIDTH_MAX: f64 = 170.0;

/// Between a bar and what is written beside it, pixels.
const BESIDE: f64 = 10.0;

/// Room for the longest of these texts and the gap to the bars, pixels. Short labels leave more to the bars.
fn room<'t>(texts: impl Iterator<Item = &'t str>, most: f64) -> i32 {
    let longest = texts.map(|text| width(text, TEXT)).fold(0.0, f64::max);
    // Some hundred at most.
    libm::ceil(longest.min(most) + BESIDE) as i32
}

impl Geometry {
    fn new(chart: &BarChart<'_>, layout: Layout) -> Self {
        let across = i32::try_from(layout.width()).unwrap_or(i32::MAX);
        let beside = room(
            chart.bars.iter().map(|bar| bar.value_text.as_str()),
            VALUE_WIDTH_MAX,
        );
        let labels = chart.bars.iter().map(|bar| bar.label.as_str());
        let (left, right, row, thick) = match layout {
            Layout::Wide => (
                room(labels, LABEL_WIDTH_MAX) + 4,
                across - beside.max(130),
                32,
                18,
            ),
            Layout::Narrow => (2, across - beside.max(78), 46, 16),
        };
        let top = 6;
        let count = i32::try_from(chart.bars.len())
            .unwrap_or(i32::MAX / 64)
            .max(1);
        let height = u32::try_from(top + row * count + 44).unwrap_or(u32::MAX);
        let max = chart
            .bars
            .iter()
            .map(|bar| {
                let sum: f64 = bar.segments.iter().map(|s| drawable(s.value)).sum();
                bar.interval
                    .map_or(sum, |(_, high)| sum.max(drawable(high).min(sum * 2.0)))
            })
            .fold(0.0, f64::max)
            / chart.scale.divisor;
        let (axis_top, axis_step) = axis(max);
        Self {
            layout,
            left,
            right,
            top,
            row,
            thick,
            height,
            axis_top,
            axis_step,
        }
    }

    /// Pixel of a value already divided by the scale.
    fn x(&self, scaled: f64) -> i32 {
        let share = (scaled / self.axis_top).clamp(0.0, 1.0);
        let span = f64::from(self.right - self.left);
        // Within 0 ..= span, so the cast cannot cut anything.
        self.left + libm::round(share * span) as i32
    }

    /// Upper edge of the bar in a row.
    fn bar_y(&self, index: usize) -> i32 {
        let row = self.top + self.row * i32::try_from(index).unwrap_or(0);
        match self.layout {
            Layout::Wide => row + (self.row - self.thick) / 2,
            Layout::Narrow => row + 22,
        }
    }

    fn bottom(&self, bars: usize) -> i32 {
        self.top + self.row * i32::try_from(bars.max(1)).unwrap_or(1)
    }
}

fn drawable(value: f64) -> f64 {
    if value.is_finite() {
        value.max(0.0)
    } else {
        0.0
    }
}

/// Text of `size` pixels; plotters divides by 1.24 when it writes.
pub(super) fn text(size: f64, ink: Ink, anchor: HPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", size * 1.24).into_font());
    let colour = ink.marker();
    // `color` ties the style to the colour's life; the parts do not.
    TextStyle {
        color: colour.to_backend_color(),
        ..style
    }
    .pos(Pos::new(anchor, VPos::Center))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(
    root: &Area<'_>,
    chart: &BarChart<'_>,
    geometry: &Geometry,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    draw_axis(root, chart, geometry)?;
    for (index, bar) in chart.bars.iter().enumerate() {
        let top = geometry.bar_y(index);
        let bottom = top + geometry.thick;
        let middle = (top + bottom) / 2;
        let mut sum = 0.0;
        for segment in &bar.segments {
            let from = geometry.x(sum / chart.scale.divisor);
            sum += drawable(segment.value);
            let to = geometry.x(sum / chart.scale.divisor);
            if to <= from {
                continue;
            }
            // A gap of one pixel between segments, where there is room for it.
            let end = if to - from > 3 { to - 1 } else { to };
            root.draw(&Rectangle::new(
                [(from, top), (end, bottom)],
                segment.ink.marker().filled(),
            ))?;
        }
        let mut end = geometry.x(sum / chart.scale.divisor);
        if let Some((low, high)) = bar.interval.filter(|(l, h)| l.is_finite() && h.is_finite()) {
            let low = geometry.x(low / chart.scale.divisor);
            let high = geometry.x(high / chart.scale.divisor);
            let style = Ink::Text.marker().stroke_width(1);
            root.draw(&PathElement::new(
                vec![(low, middle), (high, middle)],
                style,
            ))?;
            for x in [low, high] {
                root.draw(&PathElement::new(
                    vec![(x, middle - 4), (x, middle + 4)],
                    style,
                ))?;
            }
            end = end.max(high);
        }
        root.draw(&Text::new(
            bar.value_text.clone(),
            (end + 8, middle),
            text(TEXT, Ink::Text, HPos::Left),
        ))?;
        let label = match geometry.layout {
            Layout::Wide => Text::new(
                fit(&bar.label, TEXT, f64::from(geometry.left) - BESIDE - 2.0),
                (geometry.left - 12, middle),
                text(TEXT, Ink::Text, HPos::Right),
            ),
            Layout::Narrow => Text::new(
                fit(&bar.label, TEXT, f64::from(geometry.layout.width()) - 8.0),
                (geometry.left, top - 10),
                text(TEXT, Ink::Text, HPos::Left),
            ),
        };
        root.draw(&label)?;
    }
    root.present()
}

fn draw_axis(
    root: &Area<'_>,
    chart: &BarChart<'_>,
    geometry: &Geometry,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let bottom = geometry.bottom(chart.bars.len());
    let mut mark = 0.0;
    while mark <= geometry.axis_top * 1.001 {
        let x = geometry.x(mark);
        root.draw(&PathElement::new(
            vec![(x, geometry.top), (x, bottom + 4)],
            Ink::Rule.marker().stroke_width(1),
        ))?;
        root.draw(&Text::new(
            chart.scale.label(mark),
            (x, bottom + 14),
            text(
                12.0,
                Ink::Muted,
                if mark == 0.0 {
                    HPos::Left
                } else {
                    HPos::Center
                },
            ),
        ))?;
        mark += geometry.axis_step;
    }
    let unit = if chart.scale.unit.is_empty() {
        chart.axis_label.to_owned()
    } else {
        format!("{}, {}", chart.axis_label, chart.scale.unit)
    };
    root.draw(&Text::new(
        clip(&unit, 60),
        (geometry.left, bottom + 32),
        text(12.0, Ink::Muted, HPos::Left),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(bars: Vec<Bar>) -> BarChart<'static> {
        BarChart {
            caption: Caption {
                id: "c1",
                title: "Cost",
                description: "By class",
            },
            bars,
            scale: Scale::nanoseconds(2e6),
            axis_label: "CPU per request",
        }
    }

    fn bar(label: &str, values: &[f64]) -> Bar {
        Bar {
            label: label.to_owned(),
            segments: values
                .iter()
                .zip(Ink::ALL)
                .map(|(value, ink)| Segment { ink, value: *value })
                .collect(),
            interval: Some((1e6, 1.5e6)),
            value_text: "1.2 ms".to_owned(),
        }
    }

    #[test]
    fn one_rectangle_per_segment_in_its_class() {
        let svg = stacked_bars(&chart(vec![bar("GET /a", &[1e6, 0.0, 5e5])]), Layout::Wide);
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(
            svg.contains("class=\"f-handler\"") && svg.contains("class=\"f-encode\""),
            "{svg}"
        );
        assert!(
            svg.contains("GET /a") && svg.contains("role=\"img\""),
            "{svg}"
        );
        assert!(
            svg.contains("<title id=\"c1-wide-t\">Cost</title>"),
            "{svg}"
        );
    }

    #[test]
    fn plain_bars_draw_the_first_segment() {
        let svg = bars(&chart(vec![bar("a", &[1e6, 5e5])]), Layout::Narrow);
        assert_eq!(svg.matches("<rect").count(), 1);
    }

    #[test]
    fn odd_values_and_names_do_no_harm() {
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300];
        for layout in [Layout::Wide, Layout::Narrow] {
            let svg = stacked_bars(
                &chart(vec![
                    bar("<img src=x onerror=alert(1)>\u{0}\u{202e}", &odd),
                    bar("", &[]),
                ]),
                layout,
            );
            assert!(!svg.contains("<img") && !svg.contains('\u{0}') && !svg.contains('\u{202e}'));
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
        assert!(stacked_bars(&chart(Vec::new()), Layout::Wide).ends_with("</svg>"));
    }

    #[test]
    fn same_input_same_bytes() {
        let input = chart(vec![bar("a", &[1.0, 2.0]), bar("b", &[3e6])]);
        assert_eq!(
            stacked_bars(&input, Layout::Wide),
            stacked_bars(&input, Layout::Wide)
        );
    }
}
