//! From what plotters wrote to what the page embeds.

use super::ink::Ink;
use crate::html::text::escape_text;

/// Which of the two drawings of a chart: the style sheet shows one of them, by the width of the page.
///
/// One drawing scaled to a telephone would have letters of five pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Labels beside the bars; for pages of 640 px and more.
    Wide,
    /// Labels above the bars.
    Narrow,
}

impl Layout {
    /// Width of the drawing's own coordinates, in pixels of a page that shows it unscaled.
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Wide => 880,
            Self::Narrow => 344,
        }
    }

    /// The class by which the style sheet shows one of the two.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// What a chart is called and what it shows, for people who do not see it.
#[derive(Clone, Copy, Debug)]
pub struct Caption<'a> {
    /// Identifier in the page; the parts of the drawing derive theirs from it.
    pub id: &'a str,
    /// Name of the chart.
    pub title: &'a str,
    /// What can be seen in it, in a sentence or two.
    pub description: &'a str,
}

/// The opening tag with title and description.
///
/// `role` is `img` for a picture, and `group` for one with links in it: what stands inside an `img` is not announced.
pub(crate) fn open(
    caption: &Caption<'_>,
    layout: Layout,
    role: &str,
    width: u32,
    height: u32,
) -> String {
    let id = escape_text(caption.id);
    let suffix = layout.class();
    format!(
        "<svg class=\"chart {suffix}\" viewBox=\"0 0 {width} {height}\" role=\"{role}\" \
         aria-labelledby=\"{id}-{suffix}-t {id}-{suffix}-d\"><title id=\"{id}-{suffix}-t\">{}</title>\
         <desc id=\"{id}-{suffix}-d\">{}</desc>",
        escape_text(caption.title),
        escape_text(caption.description),
    )
}

/// Takes a drawing by plotters, puts class names in the place of the palette's marker colours and gives it a title
/// and a description.
///
/// Text in the drawing has its quotes escaped by plotters, so no label can look like an attribute.
pub(crate) fn finish(
    drawn: &str,
    caption: &Caption<'_>,
    layout: Layout,
    width: u32,
    height: u32,
) -> String {
    let body = drawn
        .split_once('>')
        .map_or("", |(_, rest)| rest)
        .trim_end()
        .strip_suffix("</svg>")
        .unwrap_or_default()
        .replace('\n', "")
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" fill=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" stroke-width=\"1\"", "");
    let mut out = open(caption, layout, "img", width, height);
    let mut rest = body.as_str();
    while let Some(at) = rest.find("=\"#FE00") {
        let attribute_start = rest[..at].rfind(' ').unwrap_or(0);
        let attribute = &rest[attribute_start..at];
        out.push_str(&rest[..attribute_start]);
        let number = rest.get(at + 7..at + 9).unwrap_or_default();
        let (ink, dashed) = Ink::of_marker(u8::from_str_radix(number, 16).unwrap_or(u8::MAX));
        let prefix = if attribute.trim_start() == "stroke" {
            "s"
        } else {
            "f"
        };
        let dash = if dashed { " dash" } else { "" };
        out.push_str(&format!(" class=\"{prefix}-{}{dash}\"", ink.name()));
        // Past `="#FE00NN"`.
        rest = rest.get(at + 10..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'_> = Caption {
        id: "c",
        title: "A <title>",
        description: "What & why",
    };

    #[test]
    fn marker_colours_become_classes() {
        let drawn = "<svg width=\"5\" height=\"5\" viewBox=\"0 0 5 5\" xmlns=\"http://www.w3.org/2000/svg\">\n\
            <rect x=\"1\" opacity=\"1\" fill=\"#FE0002\" stroke=\"none\"/>\n<line opacity=\"1\" stroke=\"#FE0009\" x1=\"0\"/>\n</svg>\n";
        let svg = finish(drawn, &CAPTION, Layout::Wide, 5, 5);
        assert!(svg.contains("<rect x=\"1\" class=\"f-encode\"/>"), "{svg}");
        assert!(svg.contains("<line class=\"s-rule\" x1=\"0\"/>"), "{svg}");
        assert!(
            svg.contains("<title id=\"c-wide-t\">A &lt;title&gt;</title>"),
            "{svg}"
        );
        assert!(!svg.contains("#FE00") && !svg.contains("http"), "{svg}");
        assert!(svg.ends_with("</svg>"));
    }

    #[test]
    fn label_that_looks_like_a_marker_stays_text() {
        let drawn =
            "<svg>\n<text x=\"1\" fill=\"#FE0007\">\n fill=&quot;#FE0001&quot; \n</text>\n</svg>\n";
        let svg = finish(drawn, &CAPTION, Layout::Narrow, 5, 5);
        assert!(
            svg.contains("<text x=\"1\" class=\"f-text\"> fill=&quot;#FE0001&quot; </text>"),
            "{svg}"
        );
    }
}
