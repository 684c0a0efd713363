//! What the command line says: help, usage errors, configuration, and exit codes, as shown in `cmd/`.
//! `TRYCMD=overwrite` writes them anew.

#[test]
fn the_command_line_says_what_it_said() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.trycmd")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .env("WEIGHBRIDGE_ENDPOINT", "")
        .env("OTEL_SERVICE_NAME", "");
}
