//! How wide text is, without a font: what a broad sans-serif face takes, so that narrower ones have room to spare.

use crate::html::text::clip;

/// Width of a letter in a face as broad as DejaVu Sans, as a share of the size of the text.
fn advance(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '\'' | '|' => 0.3,
        ' ' | '.' | ',' | ':' | ';' | '!' | '/' | '\\' | '(' | ')' | '[' | ']' | '-' | 'f'
        | 't' | 'r' | 'I' | '\u{a0}' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        '<' | '>' | '=' | '+' | '~' | '^' | '&' | '#' => 0.84,
        'A'..='Z' => 0.76,
        '\u{2009}' | '\u{202f}' => 0.25,
        'µ' | '·' | '–' => 0.64,
        letter if letter.is_ascii() => 0.64,
        _ => 1.05,
    }
}

/// Width of a line of text of this size, pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The text, cut in its middle to what has room; never to fewer than four letters.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    let mut letters = text.chars().count().min((room / (0.25 * size)) as usize);
    loop {
        let shown = clip(text, letters.max(4));
        if letters <= 4 || width(&shown, size) <= room {
            return shown;
        }
        letters -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broad_letters_leave_room_for_fewer() {
        assert_eq!(fit("store", 13.0, 110.0), "store");
        let narrow = fit(&"i".repeat(60), 13.0, 110.0);
        let broad = fit(&"W".repeat(60), 13.0, 110.0);
        assert!(
            narrow.chars().count() > 3 * broad.chars().count(),
            "{broad}"
        );
        for text in [narrow, broad, fit(&"\u{fffd}".repeat(60), 13.0, 110.0)] {
            assert!(width(&text, 13.0) <= 110.0, "{text}");
        }
        assert!(!fit("warehouse", 13.0, 0.0).is_empty());
    }
}
