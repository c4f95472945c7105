//! `cp`: files into and out of a sandbox.
//!
//! Inside, the machine's `tar` runs with the sandbox's own rights. What comes out of there is nobody's friend: see [`unpack`](super::unpack).

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::inside::Inside;
use super::pack::{Tree, word};
use super::{project, unpack};
use crate::lab::state::StateDir;

/// Most bytes of a path that are shown (`PATH_MAX` in `limits.h`).
const PATH_MAX: u64 = 4096;

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
under the target's name, and a symbolic link as one without -L. Inside, files
belong to the sandbox's user, and only what that user may read or write can be
copied. Of FIFOs, sockets and devices nothing is copied, nor what is beside
them. A name of a service stands for its first instance that runs.")]
pub(super) struct Cp {
    /// Which instance of the service [default: the first that runs]
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Copy what a symbolic link given as FROM leads to
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
            let path = rooted(&service, &path)?;
            let state = project::find_up(global)?;
            fetch(&inside(&state, &service), &path, &to, cp.follow_link)?;
        }
        (from @ (End::Here(_) | End::Stream), End::There(service, path)) => {
            let path = rooted(&service, &path)?;
            let state = project::find_up(global)?;
            send(&inside(&state, &service), &from, &path, cp.follow_link)?;
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

/// As Docker reads it: what begins with `/` or `.` is here, whatever colons follow.
fn end(text: &str) -> End {
    match text.split_once(':') {
        _ if text == "-" => End::Stream,
        Some((service, path)) if !service.is_empty() && !text.starts_with(['/', '.']) => {
            End::There(service.to_owned(), path.to_owned())
        }
        _ => End::Here(PathBuf::from(text)),
    }
}

/// A path inside starts from the root; the root itself, all of the machine's files, is not meant by saying nothing.
fn rooted(service: &str, path: &str) -> Result<String, Failure> {
    if path.is_empty() {
        let why = format!(
            "error: {service}: names no path\n = help: {service}:/tmp/x is a file there, {service}:/ all of them"
        );
        return Err(Failure::new(Code::Usage, why));
    }
    Ok(format!("/{}", path.trim_start_matches('/')))
}

fn fetch(inside: &Inside, path: &str, to: &End, follow: bool) -> Result<(), Failure> {
    // Docker: `folder/.` is what is in the folder.
    let contents = path.ends_with("/.");
    let (_, name) = split(path);
    let source = if follow {
        led_to(inside, path)?
    } else {
        path.to_owned()
    };
    let (parent, found) = split(&source);
    fn pack<'a>(folder: &'a str, what: &'a str) -> [&'a str; 7] {
        ["tar", "-cf", "-", "-C", folder, "--", what]
    }
    let End::Here(target) = to else {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        return inside.run(&pack(parent, found), stdin, stdout);
    };
    if let Ok(metadata) = fs::metadata(target)
        && !(metadata.is_file() || metadata.is_dir())
    {
        let (path, kind) = (target.display(), word(metadata.file_type()));
        let why = format!("error: {path}: it is a {kind}: name a file or a folder");
        return Err(Failure::new(Code::Failed, why));
    }
    look_over(inside, &source)?;
    let lacks_folder = target.to_string_lossy().ends_with('/') && !target.is_dir();
    let target = match Path::new(name).file_name() {
        Some(name) if target.is_dir() && !contents => target.join(name),
        _ => target.clone(),
    };
    let is_folder = inside.succeeds(&["test", "-d", &source])?
        && (contents || !inside.succeeds(&["test", "-L", &source])?);
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
        inside.read(&pack(&source, "."), |archive| {
            unpack::folder(archive, &target)
        })
    } else {
        if lacks_folder {
            return Err(Failure::new(
                Code::Failed,
                format!("error: {}: there is no such folder", target.display()),
            ));
        }
        inside.read(&pack(parent, found), |archive| {
            unpack::file(archive, &target)
        })
    }
}

/// What a path inside leads to, if it is a symbolic link; else the path as it really is. Links below it are not followed.
fn led_to(inside: &Inside, path: &str) -> Result<String, Failure> {
    let mut found = Vec::new();
    inside.read(&["readlink", "-ev", "--", path], |stream| {
        stream.take(PATH_MAX).read_to_end(&mut found).map(drop)
    })?;
    let found = String::from_utf8(found).map_err(|_| {
        let why = format!("error: {path} leads to a name that is no text");
        Failure::new(Code::Failed, why)
    })?;
    Ok(found.strip_suffix('\n').unwrap_or(&found).to_owned())
}

/// Refuses, before anything is copied, what is neither a file, a folder nor a symbolic link, or has one such in it.
fn look_over(inside: &Inside, path: &str) -> Result<(), Failure> {
    let odd =
        "-type p -printf FIFO -o -type s -printf socket -o ( -type b -o -type c ) -printf device";
    let mut argv = vec!["find", path, "("];
    argv.extend(odd.split(' '));
    argv.extend([")", "-printf", " is not copied: %p\n", "-quit"]);
    let mut found = Vec::new();
    inside.read(&argv, |stream| {
        stream.take(PATH_MAX).read_to_end(&mut found).map(drop)
    })?;
    match String::from_utf8_lossy(&found).trim_end() {
        "" => Ok(()),
        // Somebody in the sandbox has chosen the name.
        found => Err(Failure::new(
            Code::Failed,
            format!("error: in {}: a {}", inside.name(), found.escape_debug()),
        )),
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

fn send(inside: &Inside, from: &End, path: &str, follow: bool) -> Result<(), Failure> {
    let End::Here(source) = from else {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        return inside.run(&["tar", "-xf", "-", "-C", path], stdin, stdout);
    };
    let tree = Tree::of(source, follow)?;
    let text = source.to_string_lossy();
    let contents = tree.is_folder() && (text == "." || text.ends_with("/."));
    let own = match source.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => fs::canonicalize(source)?
            .file_name()
            .map_or_else(|| ".".into(), |name| name.to_string_lossy().into_owned()),
    };
    let into_folder = inside.succeeds(&["test", "-d", path])?;
    let (folder, name) = match path.trim_end_matches('/').rsplit_once('/') {
        _ if contents => (path, ".".to_owned()),
        _ if into_folder => (path, own),
        _ if path.ends_with('/') && !tree.is_folder() => {
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
    let target = Path::new(folder).join(&name);
    let target = target.to_string_lossy();
    if tree.is_folder()
        && inside.succeeds(&["test", "-e", &target, "-o", "-L", &target])?
        && !inside.succeeds(&["test", "-d", &target])?
    {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: in {}: {target}: it is a file, and {} is a folder",
                inside.name(),
                source.display()
            ),
        ));
    }
    let make = contents && !into_folder;
    if make && !inside.succeeds(&["mkdir", path])? {
        return Err(Failure::new(
            Code::Failed,
            format!("error: {path} cannot be made in {}", inside.name()),
        ));
    }
    inside.write(&["tar", "-x", "-f", "-", "-C", folder], |archive| {
        tree.pack(Path::new(&name), archive)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_inside_when_it_names_a_service() {
        assert_eq!(end("web:/a:b"), End::There("web".into(), "/a:b".into()));
        assert_eq!(end("web:a"), End::There("web".into(), "a".into()));
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
