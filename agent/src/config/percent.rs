//! Shares as people write them.

/// Why a text is no share.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a share; write percent above 0 and up to 100 with at most one decimal, for example `3%` or `0.5%`"
)]
pub(crate) struct ShareError;

/// Reads `3%`, `3` or `0.5%`, in thousandths.
pub(crate) fn parse_permille(text: &str) -> Result<u32, ShareError> {
    let text = text.trim();
    let text = text.strip_suffix('%').unwrap_or(text).trim_end();
    let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(tenths) || tenths.len() != 1 {
        return Err(ShareError);
    }
    let whole: u32 = whole.parse().map_err(|_| ShareError)?;
    let tenths: u32 = tenths.parse().map_err(|_| ShareError)?;
    let permille = whole.checked_mul(10).and_then(|n| n.checked_add(tenths));
    permille
        .filter(|permille| (1..=1_000).contains(permille))
        .ok_or(ShareError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent() {
        for (text, permille) in [("3%", 30), ("3", 30), (" 0.5 % ", 5), ("100%", 1_000)] {
            assert_eq!(parse_permille(text), Ok(permille), "{text}");
        }
        for bad in [
            "",
            "%",
            "0",
            "0.0%",
            "100.1%",
            "-3%",
            "3.25",
            "3.",
            ".5",
            "+3",
            "99999999999",
        ] {
            assert_eq!(parse_permille(bad), Err(ShareError), "{bad}");
        }
    }
}
