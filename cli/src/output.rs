//! The one place in this program that prints. Data goes to standard output, everything else to standard
//! error, and names from outside are shown with their control characters escaped.
#![allow(
    clippy::print_stderr,
    reason = "a command line talks to people; everything that it says goes through here"
)]

use std::io::{IsTerminal as _, Write as _};

/// Writes data to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written, for example because its disk is full.
pub(crate) fn data(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says something beside the data.
pub(crate) fn note(text: &str) {
    eprintln!("{}", visible(text));
}

/// Says what went wrong.
pub(crate) fn error(text: &str) {
    let text = visible(text);
    if colored() {
        eprintln!("\u{1b}[1;31merror:\u{1b}[0m {text}");
    } else {
        eprintln!("error: {text}");
    }
}

/// What the reader of arguments says: help to standard output, errors to standard error. An error quotes what was
/// given, which may be a name from outside.
pub(crate) fn usage(said: &clap::Error) {
    let text = said.render().to_string();
    let shown = visible(&text);
    if shown == text {
        let _ = said.print();
    } else {
        eprint!("{shown}");
    }
}

/// True when standard error may be coloured: a terminal, and `NO_COLOR` is not set.
pub(crate) fn colored() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text as [`weighbridge_wire::visible`] shows it. Line breaks and tabulators stay.
pub(crate) fn visible(text: &str) -> String {
    weighbridge_wire::visible(text, &['\n', '\t'])
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn s7_names_cannot_steer_the_terminal() {
        assert_eq!(
            visible("GET /a\u{1b}[2J\r\u{7}"),
            "GET /a\\u{1b}[2J\\r\\u{7}"
        );
        assert_eq!(visible("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(
            visible("a\u{200b}\u{9b}2J\u{e0041}"),
            "a\\u{200b}\\u{9b}2J\\u{e0041}"
        );
        assert_eq!(visible("line\n\tnext Größe 漢"), "line\n\tnext Größe 漢");
    }
}
