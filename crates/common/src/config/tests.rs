use std::io::Write;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Example {
    database: DatabaseConfig,
    redis: RedisConfig,
    admin_token: Option<Secret>,
    cache: Cache,
}

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cache {
    enabled: bool,
    label: String,
    ratio: f64,
}

impl ServiceConfig for Example {}

fn read(file: Option<&str>, env: &[(&str, &str)]) -> Result<(Base, Example), ConfigError> {
    let known = [de::fields_of::<Base>(), de::fields_of::<Example>()].concat();
    let file = file.map(|text| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let path = file.as_ref().map(|file| file.path().to_owned());
    let pairs = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let layers = Layers::new(path, pairs, &known)?;
    Ok((layers.extract()?, layers.extract()?))
}

fn error(env: &[(&str, &str)]) -> String {
    read(None, env).unwrap_err().to_string()
}

#[test]
fn text_stays_text() {
    let env = [
        ("INSTANCE_ID", "1"),
        ("CACHE__LABEL", "true"),
        ("CACHE__ENABLED", "true"),
        ("CACHE__RATIO", "0.5"),
    ];
    let (base, example) = read(None, &env).unwrap();
    assert_eq!(base.instance_id.unwrap().as_str(), "1");
    assert_eq!(
        example.cache,
        Cache {
            enabled: true,
            label: "true".into(),
            ratio: 0.5
        }
    );
}

proptest! {
    #[test]
    fn every_text_arrives_verbatim(text in "[^\0]*") {
        let (_, example) = read(None, &[("CACHE__LABEL", &text)]).unwrap();
        prop_assert_eq!(example.cache.label, text);
    }

    #[test]
    fn a_secret_survives_the_database_url(password in "[^\0]+") {
        let env = [("DATABASE__HOST", "db"), ("DATABASE__NAME", "n"), ("DATABASE__USER", "u"), ("DATABASE__PASSWORD", &*password)];
        let url = read(None, &env).unwrap().1.database.runtime_url().unwrap();
        let parsed = reqwest::Url::parse(url.expose()).unwrap();
        let decoded = percent_encoding::percent_decode_str(parsed.password().unwrap()).decode_utf8().unwrap();
        prop_assert_eq!(decoded, password.as_str());
    }
}

#[test]
fn the_environment_beats_the_file_which_beats_the_defaults() {
    let file = "[http]\nmax_headers = 10\nidle_ms = 5000\nlisten = [\"127.0.0.1:1\"]\n[cache]\nratio = 2\n";
    let (base, example) = read(Some(file), &[("HTTP__MAX_HEADERS", "20")]).unwrap();
    assert_eq!(
        (base.http.max_headers, base.http.idle_ms.as_millis()),
        (20, 5000)
    );
    assert_eq!(
        base.http.max_body_bytes,
        HttpConfig::default().max_body_bytes
    );
    assert_eq!(base.http.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(example.cache.ratio, 2.0);
}

#[test]
fn errors_name_the_key_as_the_environment_spells_it() {
    assert!(
        error(&[("HTTP__FOO", "1")])
            .starts_with("HTTP__FOO: unknown key; this section has LISTEN, ")
    );
    assert!(
        error(&[("DATABASE__OWNER__FOO", "1")]).starts_with("DATABASE__OWNER__FOO: unknown key")
    );
    assert_eq!(
        error(&[("HTTP__MAX_HEADERS", "many")]),
        "HTTP__MAX_HEADERS: \"many\" is not a whole number, 0 or more"
    );
    assert!(error(&[("HTTP__LISTEN", "everywhere")]).starts_with("HTTP__LISTEN: "));
    assert!(error(&[("ADVERTISE_CIDR", "10.0.0.0")]).starts_with("ADVERTISE_CIDR: "));
    assert!(error(&[("LOG_FORMAT", "xml")]).contains("json, pretty"));
    assert!(error(&[("HTTP", "x")]).starts_with("HTTP: is a section"));
    assert!(
        error(&[("ADMIN_TOKEN_FILE", "/nowhere/t")])
            .starts_with("ADMIN_TOKEN_FILE: cannot read /nowhere/t")
    );
    assert!(
        read(Some("[http]\nfoo = 1"), &[])
            .unwrap_err()
            .to_string()
            .starts_with("HTTP__FOO: unknown key")
    );
    assert!(
        read(Some("[htpt]\nfoo = 1"), &[])
            .unwrap_err()
            .to_string()
            .starts_with("HTPT: unknown key")
    );
    assert!(
        read(
            None,
            &[("PATH", "/bin"), ("HTTP_PROXY", "x"), ("http__foo", "x")]
        )
        .is_ok()
    );
}

#[test]
fn a_secret_comes_from_a_file_without_one_trailing_newline_and_is_never_printed() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"pass word \n\n").unwrap();
    let path = file.path().to_str().unwrap();
    let env = [
        ("ADMIN_TOKEN_FILE", path),
        ("REGISTRY_TOKEN_FILE", path),
        ("REDIS__PASSWORD_FILE", path),
        ("REDIS_URL", "redis://product@redis:6379"),
    ];
    let (base, example) = read(None, &env).unwrap();
    assert_eq!(
        example.admin_token.as_ref().unwrap().expose(),
        "pass word \n"
    );
    assert!(base.registry.token.unwrap().matches(b"pass word \n"));
    assert_eq!(
        example.redis.connection_url().unwrap().expose(),
        "redis://product:pass%20word%20%0A@redis:6379"
    );
    assert!(!format!("{example:?}").contains("pass word"));
    assert!(
        error(&[("ADMIN_TOKEN", "x"), ("ADMIN_TOKEN_FILE", path)])
            .starts_with("ADMIN_TOKEN_FILE: is set both")
    );
}

#[test]
fn one_database_url_serves_both_roles_and_parts_serve_each() {
    let (_, example) = read(None, &[("DATABASE_URL", "postgres://x@y/z")]).unwrap();
    assert_eq!(
        example.database.runtime_url().unwrap().expose(),
        "postgres://x@y/z"
    );
    assert_eq!(
        example.database.owner_url().unwrap().expose(),
        "postgres://x@y/z"
    );
    let env = [
        ("DATABASE__HOST", "/run/pg"),
        ("DATABASE__NAME", "catalog"),
        ("DATABASE__USER", "catalog"),
        ("DATABASE__PASSWORD", "p/1"),
        ("DATABASE__OWNER__USER", "catalog_owner"),
        ("DATABASE__OWNER__PASSWORD", "o"),
    ];
    let database = read(None, &env).unwrap().1.database;
    assert_eq!(
        database.runtime_url().unwrap().expose(),
        "postgres://catalog:p%2F1@%2Frun%2Fpg:5432/catalog"
    );
    assert_eq!(
        database.owner_url().unwrap().expose(),
        "postgres://catalog%5Fowner:o@%2Frun%2Fpg:5432/catalog"
    );
    let missing = read(None, &[])
        .unwrap()
        .1
        .database
        .runtime_url()
        .unwrap_err();
    assert_eq!(missing.key, "DATABASE__HOST");
}

#[test]
fn a_network_means_every_local_address_inside_it() {
    let local: Vec<std::net::IpAddr> = ["127.0.0.1", "172.21.0.7", "fd00::1"]
        .map(|a| a.parse().unwrap())
        .into();
    let resolve = |text: &str| text.parse::<ListenAddr>().unwrap().resolve(&local);
    assert_eq!(
        resolve("172.21.0.0/24:5000"),
        ["172.21.0.7:5000".parse().unwrap()]
    );
    assert_eq!(
        resolve("[fd00::/64]:5000"),
        ["[fd00::1]:5000".parse().unwrap()]
    );
    assert_eq!(resolve("0.0.0.0:1"), ["0.0.0.0:1".parse().unwrap()]);
    assert!(resolve("10.0.0.0/8:1").is_empty());
}
