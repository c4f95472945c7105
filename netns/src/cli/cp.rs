//! `cp`: files into and out of a sandbox.
//!
//! Inside, the machine's `tar` runs with the sandbox's own rights. What comes out of there is nobody's friend: see [`unpack`](super::unpack).

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::inside::Inside;
use super::{project, unpack};
use crate::lab::state::StateDir;

/// `cp`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup cp postgres:/etc/hosts .
  netns-setup cp ./seed.sql postgres:/tmp/
  netns-setup cp product-service:/tmp/out/. ./results     what is in the folder
  netns-setup cp redis:/data - | tar -t
  tar -c seeds | netns-setup cp - postgres:/tmp

As docker compose cp: a source is copied into a target that is a folder, else
under the target's name. Inside, files belong to the sandbox's user, and only
what that user may read or write can be copied. A name of a service stands for
its first instance that runs.")]
pub(super) struct Cp {
    /// Which instance of the service [default: the first that runs]
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Copy what a symbolic link in SERVICE:PATH leads to
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// SERVICE:PATH, a path here, or - for a tar archive on standard input
    #[arg(value_name = "FROM")]
    pub from: String,
    /// SERVICE:PATH, a path here, or - for a tar archive on standard output
    #[arg(value_name = "TO")]
    pub to: String,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A path inside a service's sandbox.
    There(String, String),
    Here(PathBuf),
    /// A tar archive on a standard stream.
    Stream,
}

pub(super) fn run(global: &Global, cp: &Cp) -> Result<u8, Failure> {
    let inside = |state: &StateDir, service: &str| {
        Inside::new(
            state,
            match cp.index {
                Some(index) => format!("{service}-{index}"),
                None => service.to_owned(),
            },
        )
    };
    match (end(&cp.from), end(&cp.to)) {
        (End::There(service, path), to @ (End::Here(_) | End::Stream)) => {
            let state = project::find_up(global)?;
            fetch(&inside(&state, &service), &path, &to, cp.follow_link)?;
        }
        (from @ (End::Here(_) | End::Stream), End::There(service, path)) => {
            let state = project::find_up(global)?;
            send(&inside(&state, &service), &from, &path)?;
        }
        _ => {
            return Err(Failure::new(
                Code::Usage,
                "error: one of the two must be SERVICE:PATH, and only one\n = help: netns-setup cp postgres:/etc/hosts .   (a file here with a colon in its name: ./a:b)",
            ));
        }
    }
    Ok(0)
}

/// As Docker reads it: what begins with `/` or `.` is here, whatever colons follow; a path inside starts from the root.
fn end(text: &str) -> End {
    match text.split_once(':') {
        _ if text == "-" => End::Stream,
        Some((service, path)) if !service.is_empty() && !text.starts_with(['/', '.']) => {
            End::There(
                service.to_owned(),
                format!("/{}", path.trim_start_matches('/')),
            )
        }
        _ => End::Here(PathBuf::from(text)),
    }
}

fn fetch(inside: &Inside, path: &str, to: &End, follow: bool) -> Result<(), Failure> {
    // Docker: `folder/.` is what is in the folder.
    let contents = path.ends_with("/.");
    let (parent, name) = split(path);
    let flags = if follow { "-chf" } else { "-cf" };
    fn pack<'a>(flags: &'a str, folder: &'a str, what: &'a str) -> [&'a str; 7] {
        ["tar", flags, "-", "-C", folder, "--", what]
    }
    let End::Here(target) = to else {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        return inside.run(&pack(flags, parent, name), stdin, stdout);
    };
    let lacks_folder = target.to_string_lossy().ends_with('/') && !target.is_dir();
    let target = match Path::new(name).file_name() {
        Some(name) if target.is_dir() && !contents => target.join(name),
        _ => target.clone(),
    };
    let is_folder = inside.succeeds(&["test", "-d", path])?
        && (follow || contents || !inside.succeeds(&["test", "-L", path])?);
    if is_folder {
        if target.exists() && !target.is_dir() {
            return Err(Failure::new(
                Code::Failed,
                format!(
                    "error: {}: it is a file, and {path} is a folder",
                    target.display()
                ),
            ));
        }
        inside.read(&pack(flags, path, "."), |archive| {
            unpack::folder(archive, &target)
        })
    } else {
        if lacks_folder {
            return Err(Failure::new(
                Code::Failed,
                format!("error: {}: there is no such folder", target.display()),
            ));
        }
        inside.read(&pack(flags, parent, name), |archive| {
            unpack::file(archive, &target)
        })
    }
}

/// The folder that a path is in, and its name there.
fn split(path: &str) -> (&str, &str) {
    let path = path.strip_suffix("/.").unwrap_or(path);
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None if path.starts_with('/') => ("/", "."),
        None => (".", path),
    }
}

fn send(inside: &Inside, from: &End, path: &str) -> Result<(), Failure> {
    let End::Here(source) = from else {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        return inside.run(&["tar", "-xf", "-", "-C", path], stdin, stdout);
    };
    let metadata = fs::metadata(source).map_err(|error| {
        Failure::new(
            Code::Failed,
            format!("error: {}: {error}", source.display()),
        )
    })?;
    let text = source.to_string_lossy();
    let contents = metadata.is_dir() && (text == "." || text.ends_with("/."));
    let own = fs::canonicalize(source)?;
    let own = own
        .file_name()
        .map_or_else(|| ".".into(), |name| name.to_string_lossy().into_owned());
    let into_folder = inside.succeeds(&["test", "-d", path])?;
    let (folder, name) = match path.trim_end_matches('/').rsplit_once('/') {
        _ if contents && (into_folder || metadata.is_dir()) => (path, ".".to_owned()),
        _ if into_folder => (path, own),
        _ if path.ends_with('/') && !metadata.is_dir() => {
            return Err(Failure::new(
                Code::Failed,
                format!(
                    "error: {path}: there is no such folder in {}",
                    inside.name()
                ),
            ));
        }
        Some((parent, name)) => (
            if parent.is_empty() { "/" } else { parent },
            name.to_owned(),
        ),
        None => (".", path.to_owned()),
    };
    let make = contents && !into_folder;
    if make && !inside.succeeds(&["mkdir", path])? {
        return Err(Failure::new(
            Code::Failed,
            format!("error: {path} cannot be made in {}", inside.name()),
        ));
    }
    inside.write(&["tar", "-x", "-f", "-", "-C", folder], |archive| {
        let mut archive = tar::Builder::new(archive);
        archive.follow_symlinks(false);
        if metadata.is_dir() {
            archive.append_dir_all(&name, source)?;
        } else {
            archive.append_file(&name, &mut fs::File::open(source)?)?;
        }
        archive.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_inside_when_it_names_a_service() {
        assert_eq!(end("web:/a:b"), End::There("web".into(), "/a:b".into()));
        assert_eq!(end("web:a"), End::There("web".into(), "/a".into()));
        assert_eq!(end("./a:b"), End::Here("./a:b".into()));
        assert_eq!(end("/a:b"), End::Here("/a:b".into()));
        assert_eq!(end("a"), End::Here("a".into()));
        assert_eq!(end("-"), End::Stream);
        let split_of = ["/a/b", "/a/b/", "/a/b/.", "/a", "/", "b"].map(split);
        assert_eq!(
            split_of,
            [
                ("/a", "b"),
                ("/a", "b"),
                ("/a", "b"),
                ("/", "a"),
                ("/", "."),
                (".", "b")
            ]
        );
    }
}
