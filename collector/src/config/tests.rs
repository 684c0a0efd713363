use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> (tempfile::TempDir, Flags) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.toml");
    std::fs::write(&path, text).unwrap();
    (
        directory,
        Flags {
            config: Some(path),
            ..Flags::default()
        },
    )
}

fn refused(text: &str) -> String {
    let (_directory, flags) = file(text);
    Config::load(&flags, &none)
        .expect_err("refused")
        .to_string()
}

#[test]
fn flags_win_over_environment_over_file() {
    let (_directory, flags) = file(
        "data_dir = 'from file'\nfold_every = '7s'\nretention = '60d'\n\n[limits]\nqueue = 12\n",
    );
    let env = |name: &str| match name {
        "WEIGHBRIDGE_COLLECTOR_FOLD_EVERY" => Some("8s".to_owned()),
        "WEIGHBRIDGE_COLLECTOR_RETENTION" => Some("61d".to_owned()),
        "WEIGHBRIDGE_COLLECTOR_LIMITS_BODY" => Some("1MiB".to_owned()),
        _ => None,
    };
    let config = Config::load(&flags.with("retention", "62d"), &env).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("from file"));
    assert_eq!(config.limits.fold_every, Duration::from_secs(8));
    assert_eq!(config.limits.retention, Duration::from_secs(62 * 86_400));
    assert_eq!(config.limits.queue_deltas, 12);
    assert_eq!(config.limits.body_bytes, 1 << 20);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert!(refused("data_dri = 'x'").contains("did you mean `data_dir`?"));
    assert!(refused("[limits]\nbdoy = '1MiB'").contains("did you mean `limits.body`?"));
    assert!(refused("[limts]\nbody = '1MiB'").contains("did you mean `limits`?"));
    assert!(refused("[[token]]\nsecert = 'x'").contains("did you mean `secret`?"));
    assert!(refused("favourite_colour = 'red'").contains("docs/operating.md"));
    let flags = Flags::default().with("listen_htp", "127.0.0.1:1");
    let error = Config::load(&flags, &none).unwrap_err().to_string();
    assert!(
        error.contains("the command line") && error.contains("`listen_http`"),
        "{error}"
    );
}

#[test]
fn wrong_values_and_wrong_files_are_explained() {
    for (text, says) in [
        ("fold_every = 'soon'", "like `10s`"),
        ("listen_http = '4318'", "127.0.0.1:4318"),
        ("insecure_no_auth = 'perhaps'", "neither true nor false"),
        ("[limits]\nbody = '0'", "like `4MiB`"),
        ("[limits]\ninflated = '9MiB'", "8MiB"),
        ("[limits]\nqueue = -1", "from 1 upwards"),
        ("join_within = '9s'", "between 10s and 1h"),
        ("join_within = '61m'", "between 10s and 1h"),
        ("data_dir = 1.5", "expected a text"),
        ("a = \n", "line 1"),
        ("[[token]]\nname = 'x'", "token.secret"),
        ("[[token]]\nsecret = 'short'", "at least 16"),
        (
            "[[token]]\nsecret = '0123456789abcdef'\nscopes = ['write']",
            "\"ingest\"",
        ),
        ("listen_http = '0.0.0.0:4318'", "refusing to listen"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let flags = Flags {
        config: Some("/nowhere/collector.toml".into()),
        ..Flags::default()
    };
    let error = Config::load(&flags, &none).unwrap_err().to_string();
    assert!(error.contains("give an existing file"), "{error}");
}

#[test]
fn s14_a_wrong_file_does_not_give_its_secrets_away() {
    let error = refused("[[token]]\nsecret = '0123456789abcdef' oops\n");
    assert!(!error.contains("0123456789abcdef"), "{error}");
    let error = refused("[[token]]\nsecret = '012345 789abcdef'\n");
    assert!(!error.contains("789abcdef"), "{error}");
}

#[test]
fn s14_what_is_printed_is_a_valid_file_without_secrets() {
    let secret = "0123456789abcdef";
    let (_directory, flags) = file(&format!(
        "listen_http = '0.0.0.0:4318'\n[[token]]\nname = 'agents'\nsecret = '{secret}'\n\
         scopes = ['ingest']\ntenant = 'shop'\nservices = ['shop-*']\n"
    ));
    let config = Config::load(&flags, &none).unwrap();
    let printed = config.print();
    assert!(
        !printed.contains(secret) && !format!("{config:?}").contains(secret),
        "{printed}"
    );
    let (_directory, flags) = file(&printed.replace("(not shown)", secret));
    assert_eq!(Config::load(&flags, &none).unwrap(), config);
}

#[test]
fn s7_names_in_what_is_printed_read_back_and_cannot_steer_the_terminal() {
    let name = "a\"b\\c'd\n\t\u{1b}[2J\u{9b}\u{202e}\u{200b}\u{e0041} größe";
    let flags = Flags::default().with("data_dir", name);
    let config = Config::load(&flags, &none).unwrap();
    let printed = config.print();
    assert_eq!(weighbridge_wire::visible(&printed, &['\n']), printed);
    assert!(printed.contains("\\U0000001B[2J"), "{printed}");
    let (_directory, flags) = file(&printed);
    assert_eq!(Config::load(&flags, &none).unwrap(), config);
}

#[test]
fn built_in_values_print_and_read_back() {
    let (_directory, flags) = file(&Config::default().print());
    assert_eq!(Config::load(&flags, &none).unwrap(), Config::default());
}

#[test]
fn a_token_may_come_from_the_environment() {
    let env =
        |name: &str| (name == "WEIGHBRIDGE_COLLECTOR_TOKEN").then(|| "0123456789abcdef".to_owned());
    let flags = Flags::default().with("listen_http", "0.0.0.0:4318");
    assert_eq!(Config::load(&flags, &env).unwrap().tokens.len(), 1);
}

#[test]
fn the_manual_lists_every_setting_with_its_default() {
    let manual = include_str!("../../../docs/operating.md");
    for setting in SETTINGS {
        let row = format!(
            "| `{}` | `{}` |",
            setting.key,
            setting.show(&Config::default())
        );
        assert!(
            manual.contains(&row),
            "docs/operating.md lacks the row {row}"
        );
    }
}
