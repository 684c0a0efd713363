//! The palette: names for colours, so that one drawing serves light, dark and print.

use plotters::style::RGBColor;

/// A colour slot. The drawing holds the slot's class name; the page's style sheet says which colour that is in
/// light, dark and print.
///
/// The six hues are one per class of work. Blues are the work itself (handler, store), the warm hues are carrying
/// messages (encode, decode, protocol, io), so that the split which the report is about can be seen before the
/// legend is read. They were chosen for at least 3:1 against the page and to stay apart under deuteranopia,
/// protanopia and tritanopia; no meaning hangs on colour alone, for each chart has a table beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Class handler; also the first series of a line chart.
    Handler,
    /// Class store.
    Store,
    /// Class encode.
    Encode,
    /// Class decode.
    Decode,
    /// Class protocol.
    Protocol,
    /// Class io.
    Io,
    /// What belongs to no class.
    Other,
    /// Text and whiskers.
    Text,
    /// Secondary text.
    Muted,
    /// Grid lines and frames.
    Rule,
}

/// The bit of a marker's blue that says dashed.
const DASHED: u8 = 0x80;

impl Ink {
    /// All slots, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Handler,
        Self::Store,
        Self::Encode,
        Self::Decode,
        Self::Protocol,
        Self::Io,
        Self::Other,
        Self::Text,
        Self::Muted,
        Self::Rule,
    ];

    /// The hues that series take, in this order.
    pub const SERIES: [Self; 6] = [
        Self::Handler,
        Self::Decode,
        Self::Store,
        Self::Protocol,
        Self::Encode,
        Self::Io,
    ];

    /// The name in class attributes (`f-` for fill, `s-` for stroke) and in the style sheet's variables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Store => "store",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Protocol => "protocol",
            Self::Io => "io",
            Self::Other => "other",
            Self::Text => "text",
            Self::Muted => "muted",
            Self::Rule => "rule",
        }
    }

    /// The slot of a class of work by the name that documents use.
    #[must_use]
    pub fn of_class(class: &str) -> Self {
        match class {
            "handler" => Self::Handler,
            "store" => Self::Store,
            "encode" => Self::Encode,
            "decode" => Self::Decode,
            "protocol" => Self::Protocol,
            "io" => Self::Io,
            _ => Self::Other,
        }
    }

    /// [`marker`](Self::marker) for a dashed line: the style sheet dashes it, where plotters would draw each dash.
    pub(crate) fn dashed_marker(self) -> RGBColor {
        let RGBColor(red, green, index) = self.marker();
        RGBColor(red, green, index | DASHED)
    }

    /// What a marker colour stands for: the slot, and whether the line is dashed.
    pub(crate) fn of_marker(blue: u8) -> (Self, bool) {
        let ink = Self::ALL
            .get(usize::from(blue & !DASHED))
            .copied()
            .unwrap_or(Self::Other);
        (ink, blue & DASHED != 0)
    }

    /// The colour that stands for the slot while plotters draws; [`finish`](super::svg::finish) puts the class in
    /// its place.
    pub(crate) fn marker(self) -> RGBColor {
        let index = Self::ALL.iter().position(|ink| *ink == self).unwrap_or(0);
        RGBColor(0xFE, 0x00, u8::try_from(index).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_differ() {
        let mut seen: Vec<_> = Ink::ALL
            .iter()
            .map(|ink| {
                let RGBColor(r, g, b) = ink.marker();
                (r, g, b)
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Ink::ALL.len());
        assert_eq!(Ink::of_marker(Ink::Decode.marker().2), (Ink::Decode, false));
        assert_eq!(
            Ink::of_marker(Ink::Decode.dashed_marker().2),
            (Ink::Decode, true)
        );
    }

    #[test]
    fn classes_of_work_have_their_own_hue() {
        for class in ["handler", "store", "encode", "decode", "protocol", "io"] {
            assert_eq!(Ink::of_class(class).name(), class);
        }
        assert_eq!(Ink::of_class("\"><svg/onload>"), Ink::Other);
    }
}
