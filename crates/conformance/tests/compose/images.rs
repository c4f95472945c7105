//! The images: small, without a shell, for one user without rights, and saying what they are.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::Steps;

use crate::docker::{docker, expect, inspect, mortal, run, said, try_docker};
use crate::engine::{BUILD_DEADLINE, Engine, MARKS, project};
use crate::shop::{seconds, timed};
use crate::stack::{DEADLINE, Stack, compose};

/// Megabytes of an image, bases included.
const MOST: f64 = 40.0;
/// What can run a line of text.
const SHELLS: &[&str] = &[
    "sh", "ash", "bash", "dash", "zsh", "ksh", "busybox", "toybox", "perl", "python3", "env",
    "apt", "dpkg",
];
const LABELS: &[&str] = &[
    "title",
    "description",
    "source",
    "licenses",
    "version",
    "revision",
];

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    let Some(images) = steps
        .step("the file says which images are built", built(engine))
        .await
    else {
        return;
    };
    if engine.builds() {
        steps
            .step(
                "a second build finds everything done",
                again(engine, &images),
            )
            .await;
        let name = "after a change in one service a build compiles no dependency again";
        if let Some(took) = steps.step(name, timed(changed())).await {
            steps.figure("build after a change in one service, s", seconds(took));
        }
    }
    for (service, image) in &images {
        let name = |what: &str| format!("{service}: {what}");
        if let Some(size) = steps.step(&name("at most 40 MB"), small(image)).await {
            steps.figure(&format!("size of {image}, MB"), format!("{size:.1}"));
        }
        steps
            .step(
                &name("runs one program as 65532, asks itself how it is, says what it is"),
                says_what_it_is(service, image, engine),
            )
            .await;
        steps.step(&name("has no shell"), has_no_shell(image)).await;
    }
}

/// Services that are built, with their images.
async fn built(engine: &Engine) -> Result<Vec<(String, String)>> {
    let stack = Stack::new(engine, "images", &[]).await?;
    let mut images = Vec::new();
    for (name, service) in stack.services()? {
        if !service["build"].is_null() {
            let image = service["image"].as_str().context("image")?;
            images.push((name.clone(), image.to_owned()));
        }
    }
    ensure!(images.len() == 4, "{images:?}");
    Ok(images)
}

async fn ids(images: &[(String, String)]) -> Result<Vec<Value>> {
    let mut ids = Vec::new();
    for (_, image) in images {
        ids.push(inspect("image", image).await?["Id"].clone());
    }
    Ok(ids)
}

async fn again(engine: &Engine, images: &[(String, String)]) -> Result<()> {
    let before = ids(images).await?;
    engine.has_images().await?;
    ensure!(ids(images).await? == before, "other images were made");
    Ok(())
}

/// Builds one service of a copy of this tree in which it says one thing more.
async fn changed() -> Result<()> {
    const SERVICE: &str = "service-registry";
    const TAG: &str = "test-changed";
    let copy = tempfile::tempdir()?;
    let mut copying = mortal("sh");
    copying
        .args([
            "-c",
            "tar --exclude=./target --exclude=./.git -cf - . | tar -xf - -C \"$0\"",
        ])
        .arg(copy.path())
        .current_dir(project());
    expect(copying, DEADLINE).await?;
    let main = copy.path().join(format!("crates/{SERVICE}/src/main.rs"));
    let text = std::fs::read_to_string(&main)?;
    let unique = uuid::Uuid::new_v4(); // so that no cache has this source
    std::fs::write(&main, format!("{text}\n// {unique}\n"))?;
    let mut build = mortal("docker");
    build.arg("compose").args(["--progress", "plain"]);
    compose(&mut build, &[])
        .env("TAG", TAG)
        .args(["build", SERVICE])
        .current_dir(copy.path());
    let output = run(build, BUILD_DEADLINE).await?;
    let said = said(&output);
    ensure!(output.status.success(), "{said}");
    // `#12 1.234    Compiling service-registry v0.1.0 (.../crates/service-registry)`: a dependency has no path. Another service is
    // among them when the cache has it as some other tree did.
    let compiled = said.lines().filter(|line| line.contains(" Compiling "));
    let (own, others): (Vec<&str>, Vec<&str>) =
        compiled.partition(|line| line.contains("/crates/"));
    let image = format!("underlay/{SERVICE}:{TAG}");
    docker(&["image", "rm", &image]).await?;
    let is_compiled = own.iter().any(|line| line.contains(SERVICE));
    ensure!(
        is_compiled && others.is_empty(),
        "compiled were {own:?} and {others:?}"
    );
    Ok(())
}

async fn small(image: &str) -> Result<f64> {
    let bytes = inspect("image", image).await?["Size"].as_f64();
    let megabytes = bytes.context("Size")? / 1e6;
    ensure!(megabytes <= MOST, "{megabytes:.1} MB");
    Ok(megabytes)
}

async fn says_what_it_is(service: &str, image: &str, engine: &Engine) -> Result<()> {
    let inspected = inspect("image", image).await?;
    let config = &inspected["Config"];
    let program = format!("/app/{service}");
    for (key, wanted) in [
        ("User", json!("65532:65532")),
        ("Entrypoint", json!([program])),
        ("StopSignal", json!("SIGTERM")),
    ] {
        ensure!(config[key] == wanted, "{key}: {}", config[key]);
    }
    // `CMD` is the form without a shell.
    let asked = &config["Healthcheck"]["Test"];
    ensure!(*asked == json!(["CMD", program, "healthcheck"]), "{asked}");
    ensure!(config["ExposedPorts"].is_object(), "exposes nothing");
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    ensure!(label("version") == engine.tag(), "{}", label("version"));
    if engine.builds() {
        for (variable, wanted) in MARKS {
            let marked = label(&variable.to_lowercase());
            ensure!(marked == wanted, "{variable}: {marked}");
        }
    }
    for name in LABELS {
        let value = label(name);
        let said = value.as_str().is_some_and(|value| !value.is_empty());
        ensure!(said, "label {name}: {value}");
    }
    Ok(())
}

async fn has_no_shell(image: &str) -> Result<()> {
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "/bin/sh",
    ];
    let output = try_docker(&[&run[..], &[image, "-c", "true"]].concat()).await?;
    let said = said(&output);
    ensure!(
        output.status.code() == Some(127) && said.contains("no such file"),
        "/bin/sh: {said}"
    );
    let container = docker(&["create", "--network", "none", image]).await?;
    let mut list = mortal("sh");
    list.args([
        "-c",
        "docker export \"$0\" | tar --list --verbose",
        &container,
    ]);
    let list = expect(list, std::time::Duration::from_secs(60)).await;
    docker(&["rm", &container]).await?;
    let list = list?;
    let mut programs = 0;
    for line in list.lines() {
        // drwxr-xr-x owner/group size date time name [-> target | link to target]
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (mode, path) = fields
            .first()
            .zip(fields.get(5))
            .with_context(|| line.to_owned())?;
        let file = path.rsplit('/').next().unwrap_or_default();
        ensure!(
            mode.starts_with('d') || !SHELLS.contains(&file),
            "holds {path}"
        );
        let runs_as_another = mode.starts_with('-') && mode.contains(['s', 'S']);
        ensure!(!runs_as_another, "{line}");
        programs += usize::from(path.starts_with("app/") && mode.starts_with("-r"));
    }
    ensure!(programs == 1, "{programs} files in /app");
    Ok(())
}
