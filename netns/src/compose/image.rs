//! What an image's name tells of the program in it. Images are not run here: a name is a hint, and only that of a server whose
//! official image is known is enough.

use super::model::{Run, Server};

/// What a service's image stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// The official image of a server, or one that is named like it: the same variables, folders and command.
    Official(Server),
    /// The same server under other variables and folders.
    Otherwise(Server),
    /// Nothing that is known here.
    Unknown,
}

/// What the image's name stands for, wherever it comes from and whatever its tag or digest.
pub(super) fn hint(image: &str) -> Hint {
    let mut path: Vec<&str> = image.split('/').collect();
    let server = match program(path.pop().unwrap_or_default()) {
        "postgres" | "postgresql" => Server::Postgres,
        "redis" | "valkey" => Server::Redis,
        _ => return Hint::Unknown,
    };
    // Bitnami's images keep their data in /bitnami and spell their variables otherwise.
    if path.iter().any(|folder| folder.starts_with("bitnami")) || image.contains("postgresql") {
        return Hint::Otherwise(server);
    }
    Hint::Official(server)
}

/// The signal that asks a service to stop whose file does not say: the `STOPSIGNAL` of its image. PostgreSQL's takes SIGINT, its fast
/// shutdown: at SIGTERM it would wait for its clients to leave, be killed after the grace, and have to recover.
pub(super) fn stop_signal(run: &Run, image: Option<&str>) -> &'static str {
    let of_image = image.map(hint) == Some(Hint::Official(Server::Postgres));
    if of_image || *run == Run::Server(Server::Postgres) {
        "SIGINT"
    } else {
        "SIGTERM"
    }
}

/// The last part of an image's path, its tag and digest left out.
fn program(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next().unwrap_or_default()
}

/// What a machine that has the program would run in the image's place: a list as `x-netns.run.exec` takes it. `arguments` are the
/// service's own.
pub(super) fn suggestion(image: Option<&str>, arguments: &[String]) -> String {
    let words: &[&str] = match image.map(program) {
        None | Some("") => &["PROGRAM", "ARGUMENT"],
        Some("caddy") => &["caddy", "run"],
        Some("httpd") => &["apachectl", "-DFOREGROUND"],
        Some("mariadb") => &["mariadbd"],
        Some("mongo") => &["mongod", "--bind_ip_all"],
        Some("mysql") => &["mysqld"],
        Some("nginx") => &["nginx", "-g", "daemon off;"],
        Some("rabbitmq") => &["rabbitmq-server"],
        Some(name) => &[name],
    };
    let words = words
        .iter()
        .copied()
        .take(if arguments.is_empty() { 3 } else { 1 })
        .chain(arguments.iter().map(String::as_str))
        .map(|word| {
            let plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=');
            if !word.is_empty() && word.chars().all(plain) {
                word.to_owned()
            } else {
                serde_json::Value::from(word).to_string()
            }
        });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_official_names_are_enough() {
        let redis = Hint::Official(Server::Redis);
        let postgres = Hint::Official(Server::Postgres);
        for (image, expected) in [
            ("postgres:17-alpine", postgres),
            ("docker.io/library/postgres", postgres),
            ("localhost:5000/library/valkey@sha256:00", redis),
            ("valkey/valkey:8", redis),
            ("redis", redis),
            ("bitnami/redis:7.4", Hint::Otherwise(Server::Redis)),
            (
                "bitnamilegacy/postgresql",
                Hint::Otherwise(Server::Postgres),
            ),
            ("redis/exporter:1", Hint::Unknown),
            ("redis-commander", Hint::Unknown),
            ("postgrest/postgrest", Hint::Unknown),
            ("nginx", Hint::Unknown),
            ("", Hint::Unknown),
        ] {
            assert_eq!(hint(image), expected, "{image}");
        }
    }

    #[test]
    fn a_service_stops_as_its_image_does() {
        let exec = Run::Exec {
            argv: vec!["sh".to_owned()],
        };
        for (run, image, expected) in [
            (Run::Server(Server::Postgres), None, "SIGINT"),
            (Run::Server(Server::Postgres), Some("mine"), "SIGINT"),
            // Whatever runs of it.
            (exec.clone(), Some("postgres:17-alpine"), "SIGINT"),
            (exec.clone(), Some("bitnami/postgresql"), "SIGTERM"),
            (Run::Server(Server::Redis), Some("redis:8"), "SIGTERM"),
            (exec, None, "SIGTERM"),
        ] {
            assert_eq!(stop_signal(&run, image), expected, "{run:?} {image:?}");
        }
    }

    #[test]
    fn what_to_write_is_a_list_that_can_be_pasted() {
        let arguments = ["--port".to_owned(), "1, 2".to_owned()];
        for (image, arguments, expected) in [
            (Some("nginx:1"), &[][..], "nginx, -g, \"daemon off;\""),
            (Some("quay.io/x/tool@sha256:0"), &[], "tool"),
            (None, &[], "PROGRAM, ARGUMENT"),
            (Some("mongo"), &arguments, "mongod, --port, \"1, 2\""),
        ] {
            assert_eq!(suggestion(image, arguments), expected);
        }
    }
}
