//! Reading the Compose files, and finding the lab that belongs to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::{Code, Failure};
use super::files::files;
use super::terminal::say;
use super::{ps, stranger};
use crate::columns::choice;
use crate::compose::{self, Diagnostic, PROFILES, Project};
use crate::lab::protocol::Status;
use crate::lab::state::{self, StateDir};

/// What sets the project's name from outside.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// Names files with variables in place of `--env-file`, separated by commas.
const ENV_FILES: &str = "COMPOSE_ENV_FILES";

/// A project and its lab's folder.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) project: Project,
    pub(super) state: StateDir,
    /// Whether a service is on for having been named alone.
    pub(super) is_more: bool,
}

/// Reads the Compose file.
pub(super) fn load(global: &Global) -> Result<Loaded, Failure> {
    load_with(global, &[])
}

/// Reads the Compose file; as in Compose, a service that is `named` needs none of its profiles turned on.
pub(super) fn load_with<'a>(
    global: &Global,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Loaded, Failure> {
    named(global)?;
    let mut project = read(global, &files(global)?).map_err(|found| bad_file(&found))?;
    let theirs = names.into_iter().filter_map(|name| project.off.get(name));
    let mut on: Vec<String> = theirs.flatten().cloned().collect();
    let is_more = !on.is_empty();
    if is_more {
        on.extend(project.variables.get(PROFILES).cloned());
        let mut variables = project.variables.clone();
        variables.insert(PROFILES.to_owned(), on.join(","));
        let again = compose::read(project.sources, &project.dir, &variables)
            .map_err(|found| bad_file(&found))?;
        project = Project {
            variables,
            warnings: project.warnings,
            ..again
        };
    }
    for warning in &project.warnings {
        say(&warning.warning());
    }
    let state = state_of(global, &project.name)?;
    Ok(Loaded {
        project,
        state,
        is_more,
    })
}

/// The services there are, whether or not their profiles are on; `None`: the file cannot be read.
pub(super) fn services(global: &Global) -> Option<Vec<String>> {
    let project = read(global, &files(global).ok()?).ok()?;
    let services = project.services.into_keys();
    Some(services.chain(project.off.into_keys()).collect())
}

/// The Swarm file made of the Compose file.
pub(super) fn swarm(global: &Global) -> Result<String, Failure> {
    compose::swarm(&files(global)?, &env_files(global), &environment(global))
        .map_err(|found| bad_file(&found))
}

fn read(global: &Global, files: &[PathBuf]) -> Result<Project, Vec<Diagnostic>> {
    compose::load(files, &env_files(global), &environment(global))
}

/// The folder of a lab that may be running: a file that has been broken since must not keep anybody from taking it down.
pub(super) fn find(global: &Global) -> Result<StateDir, Failure> {
    let state = sought(global)?;
    match stranger::refusal(state.path()) {
        Some(refusal) => Err(refusal),
        None => Ok(state),
    }
}

fn sought(global: &Global) -> Result<StateDir, Failure> {
    if let Some(name) = named(global)? {
        return state_of(global, &name);
    }
    let files = files(global)?;
    match read(global, &files) {
        Ok(project) => state_of(global, &project.name),
        Err(found) => running_from(global, &files)
            .or_else(|| running_of_folder(global, &files))
            .ok_or_else(|| bad_file(&found)),
    }
}

/// The lab that runs under the name of the files' folder.
fn running_of_folder(global: &Global, files: &[PathBuf]) -> Option<StateDir> {
    let first = std::path::absolute(files.first()?).ok()?;
    let name = first.parent()?.file_name()?.to_string_lossy();
    let state = state_of(global, &compose::project_name(&name)).ok()?;
    state.is_up().then_some(state)
}

/// The lab that was brought up from these files and runs.
fn running_from(global: &Global, files: &[PathBuf]) -> Option<StateDir> {
    let first = std::path::absolute(files.first()?).ok()?;
    let labs = StateDir::all(&base(global)).into_iter();
    labs.map(|(_, state)| state).find(|state| {
        let status = state.is_up().then(|| ps::status(state).ok()).flatten();
        status.is_some_and(|status| status.files.first() == Some(&first))
    })
}

/// The name that the caller gives, if any: it wins over the file's.
pub(super) fn named(global: &Global) -> Result<Option<String>, Failure> {
    let from_outside = std::env::var(PROJECT_NAME).ok();
    match (&global.project_name, from_outside) {
        (Some(name), _) => Ok(Some(name.clone())),
        (None, Some(name)) if !name.is_empty() => self::name(&name)
            .map(Some)
            .map_err(|why| Failure::new(Code::Usage, format!("error: {PROJECT_NAME}: {why}"))),
        (None, _) => Ok(None),
    }
}

/// A project's name as it is given on the command line; it is a folder's name too.
pub(super) fn name(given: &str) -> Result<String, String> {
    match compose::is_project_name(given) {
        true => Ok(given.to_owned()),
        false => Err(format!(
            "`{given}` is no name of a project: lower-case letters, digits, `-` and `_`, beginning with a letter or digit"
        )),
    }
}

/// Like [`find`], for commands that need a lab that is up.
pub(super) fn find_up(global: &Global) -> Result<StateDir, Failure> {
    let state = find(global)?;
    if state.is_up() {
        Ok(state)
    } else {
        Err(not_up(&state)).map_err(|failure| match &global.project_name {
            Some(name) => beside(global, name, &failure),
            None => failure,
        })
    }
}

/// The same of a lab that was named with `-p`: `up` would have to be told its name, and it may be another that was meant.
fn beside(global: &Global, name: &str, failure: &Failure) -> Failure {
    let message =
        (failure.message).replace("`netns-setup up", &format!("`netns-setup -p {name} up"));
    let labs = StateDir::all(&base(global)).into_iter();
    let up: Vec<String> = labs
        .filter(|(_, state)| state.is_up())
        .map(|(name, _)| name)
        .collect();
    let others = match up.is_empty() {
        true => String::new(),
        false => choice("up are", up),
    };
    Failure {
        message: message + &others,
        code: failure.code,
    }
}

/// Nothing runs, as far as this user may know.
pub(super) fn not_up(state: &StateDir) -> Failure {
    let name = state.name();
    stranger::refusal(state.path()).unwrap_or_else(|| {
        let message = format!("error: {name} is not up\n = help: `netns-setup up -d` brings it up");
        Failure::new(Code::Failed, message)
    })
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

/// Folders of one name are not one project: what runs is made over only by files from its own folder, or by name.
pub(super) fn is_ours(name: &str, dir: &Path, status: &Status) -> Result<(), Failure> {
    let Some(theirs) = status.files.first() else {
        return Ok(());
    };
    let folder = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if theirs.parent().map(folder) == Some(folder(dir)) {
        return Ok(());
    }
    Err(Failure::new(
        Code::Failed,
        format!(
            "error: {name} is up already, from {}\n = help: `-p NAME` brings this one up beside it; `-p {name}` makes that one over; `netns-setup -p {name} down` ends it",
            theirs.display()
        ),
    ))
}

fn state_of(global: &Global, project: &str) -> Result<StateDir, Failure> {
    Ok(StateDir::new(&base(global), project)?)
}

/// Where every lab's folder is.
pub(super) fn base(global: &Global) -> PathBuf {
    global.state_dir.clone().unwrap_or_else(state::default_base)
}

/// The files with variables that are named, if any.
pub(super) fn env_files(global: &Global) -> Vec<PathBuf> {
    if !global.env_file.is_empty() {
        return global.env_file.clone();
    }
    let named = std::env::var(ENV_FILES).unwrap_or_default();
    let named = named.split(',').filter(|path| !path.is_empty());
    named.map(PathBuf::from).collect()
}

/// The variables that a Compose file is read with, but for those of `.env`.
pub(super) fn environment(global: &Global) -> BTreeMap<String, String> {
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
