//! Finding the Compose file, reading it, and finding the lab that belongs to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::{Code, Failure};
use super::files::files;
use super::terminal::say;
use crate::compose::{self, Diagnostic, Project};
use crate::lab::state::{self, StateDir};

/// What sets the project's name from outside.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// What turns services with these profiles on.
const PROFILES: &str = "COMPOSE_PROFILES";

/// A project and its lab's folder.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) project: Project,
    pub(super) state: StateDir,
}

/// Reads the Compose file.
pub(super) fn load(global: &Global) -> Result<Loaded, Failure> {
    let project = read(global, &files(global)?).map_err(|found| bad_file(&found))?;
    for warning in &project.warnings {
        say(&warning.warning());
    }
    let state = state_of(global, &project.name)?;
    Ok(Loaded { project, state })
}

/// The Swarm file made of the Compose file.
pub(super) fn swarm(global: &Global) -> Result<String, Failure> {
    compose::swarm(&files(global)?, &global.env_file, &environment(global))
        .map_err(|found| bad_file(&found))
}

fn read(global: &Global, files: &[PathBuf]) -> Result<Project, Vec<Diagnostic>> {
    compose::load(files, &global.env_file, &environment(global))
}

/// The folder of a lab that may be running: a file that has been broken since must not keep anybody from taking it down.
pub(super) fn find(global: &Global) -> Result<StateDir, Failure> {
    if let Some(name) = &global.project_name {
        return state_of(global, name);
    }
    let files = files(global)?;
    match read(global, &files) {
        Ok(project) => state_of(global, &project.name),
        Err(found) => {
            let folder = files
                .first()
                .and_then(|file| std::path::absolute(file).ok()?.parent().map(Path::to_owned));
            let name = folder
                .as_deref()
                .and_then(Path::file_name)
                .map(|name| compose::project_name(&name.to_string_lossy()));
            match name.map(|name| state_of(global, &name)).transpose()? {
                Some(state) if state.is_up() => Ok(state),
                _ => Err(bad_file(&found)),
            }
        }
    }
}

/// Like [`find`], for commands that need a lab that is up.
pub(super) fn find_up(global: &Global) -> Result<StateDir, Failure> {
    let state = find(global)?;
    if state.is_up() {
        Ok(state)
    } else {
        Err(not_up(&state))
    }
}

/// Nothing runs.
pub(super) fn not_up(state: &StateDir) -> Failure {
    Failure::new(
        Code::Failed,
        format!(
            "error: {} is not up\n = help: `netns-setup up -d` brings it up",
            state.name()
        ),
    )
}

/// The diagnostics of a file, and how many.
pub(super) fn bad_file(found: &[Diagnostic]) -> Failure {
    Failure::new(Code::BadFile, diagnostics(found))
}

/// Diagnostics one below the other.
pub(super) fn diagnostics(found: &[Diagnostic]) -> String {
    let mut text: Vec<String> = found.iter().map(ToString::to_string).collect();
    text.push(match found.len() {
        1 => "1 problem; nothing was touched".to_owned(),
        count => format!("{count} problems; nothing was touched"),
    });
    text.join("\n\n")
}

fn state_of(global: &Global, project: &str) -> Result<StateDir, Failure> {
    let base = global.state_dir.clone().unwrap_or_else(state::default_base);
    Ok(StateDir::new(&base, project)?)
}

fn environment(global: &Global) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if let Some(name) = &global.project_name {
        environment.insert(PROJECT_NAME.to_owned(), name.clone());
    }
    // As with Docker's, those of the variable are on as well.
    if !global.profile.is_empty() {
        let on = environment.get(PROFILES).into_iter().chain(&global.profile);
        let on: Vec<&str> = on.map(String::as_str).collect();
        environment.insert(PROFILES.to_owned(), on.join(","));
    }
    environment
}
