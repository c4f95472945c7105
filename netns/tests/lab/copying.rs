//! `cp`, both ways.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, said};

/// `cp`, both ways, of files, folders and streams; `tar` is the judge.
pub(crate) async fn copies(setting: &Setting, lab: &Lab<'_>) -> Result<()> {
    let here = setting.folder("looking/here")?;
    let path = |name: &str| here.join(name).to_string_lossy().into_owned();
    // Larger than any pipe.
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::create_dir_all(here.join("folder/inner"))?;
    std::fs::write(here.join("folder/inner/big"), &big)?;
    std::fs::write(here.join("note"), "a note\n")?;
    lab.expect(&["cp", &path("note"), "idle:/data/renamed"])
        .await?;
    lab.expect(&["cp", &path("folder"), "idle:/data"]).await?;
    let listed = lab
        .expect(&[
            "exec",
            "idle",
            "/bin/sh",
            "-c",
            "cat /data/renamed; cd /data/folder; find . -type f; id -u; stat -c %u inner/big",
        ])
        .await?;
    ensure!(
        listed == "a note\n./inner/big\n65532\n65532\n",
        "inside: {listed}"
    );
    lab.expect(&["cp", "idle:/data/folder", &path("back")])
        .await?;
    ensure!(std::fs::read(here.join("back/inner/big"))? == big, "back");
    lab.expect(&["cp", "--index", "1", "idle:/data/renamed", &path("back")])
        .await?;
    ensure!(
        std::fs::read_to_string(here.join("back/renamed"))? == "a note\n",
        "a file into a folder"
    );
    lab.expect(&["cp", "idle:/data/folder/.", &path("contents")])
        .await?;
    ensure!(here.join("contents/inner/big").exists(), "contents");

    let stream = lab.run(&["cp", "idle:/data/folder", "-"]).await?;
    let archive = here.join("archive.tar");
    std::fs::write(&archive, &stream.stdout)?;
    let output = Command::new("tar").arg("-tf").arg(&archive).output()?;
    let names: BTreeSet<String> = String::from_utf8(output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect();
    ensure!(
        names.contains("folder/inner/big"),
        "{names:?} {}",
        said(&stream)
    );
    let mut command = lab.command(&["cp", "-", "idle:/tmp"]);
    let output = command.stdin(std::fs::File::open(&archive)?).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    lab.expect(&["exec", "idle", "test", "-s", "/tmp/folder/inner/big"])
        .await?;

    // A sandbox that means ill: a link out of the target, and nothing beyond what the copy was asked for.
    let outside = here.join("outside");
    std::fs::create_dir_all(&outside)?;
    let trap = format!(
        "mkdir /data/trap; ln -s {} /data/trap/link",
        outside.display()
    );
    lab.expect(&["exec", "idle", "/bin/sh", "-c", &trap])
        .await?;
    lab.expect(&["cp", "idle:/data/trap", &path("trap")])
        .await?;
    ensure!(
        std::fs::symlink_metadata(here.join("trap/link"))?.is_symlink(),
        "a link stays one"
    );
    for (argv, words) in [
        (["cp", "idle:/no/such", "."], "No such file"),
        (["cp", &path("note"), "idle:/usr/"], "Read-only"),
        (
            ["cp", "idle:/etc/hosts", "/no/such/folder/x"],
            "/no/such/folder/x",
        ),
        (["cp", "nobody:/etc/hosts", "."], "nobody"),
        (["cp", &path("missing"), "idle:/tmp"], "missing"),
    ] {
        let refused = lab.refused(1, &argv).await?;
        ensure!(refused.contains(words), "{argv:?}: {refused}");
    }
    lab.refused(2, &["cp", "idle:/a", "web:/b"]).await?;
    lab.refused(2, &["cp", "idle:", "."]).await?;
    copies_files_folders_and_links_alone(lab, &here).await
}

/// Nobody waits for who writes to a pipe; and what is copied of a folder is all of it, or nothing.
async fn copies_files_folders_and_links_alone(lab: &Lab<'_>, here: &Path) -> Result<()> {
    let path = |name: &str| here.join(name).to_string_lossy().into_owned();
    std::fs::create_dir_all(here.join("odd"))?;
    std::fs::write(here.join("odd/a"), "")?;
    nix::unistd::mkfifo(&here.join("odd/pipe"), nix::sys::stat::Mode::S_IRWXU)?;
    std::os::unix::fs::symlink("note", here.join("link"))?;
    let inside = "mkdir /data/odd; touch /data/odd/a; mkfifo /data/odd/pipe";
    lab.expect(&["exec", "idle", "/bin/sh", "-c", inside])
        .await?;
    for (argv, words) in [
        (["cp", path("odd/pipe").as_str(), "idle:/data/"], "odd/pipe"),
        (["cp", &path("odd"), "idle:/data/new"], "odd/pipe"),
        (["cp", "idle:/data/odd/pipe", &path("got")], "odd/pipe"),
        (["cp", "idle:/data/odd", &path("got")], "odd/pipe"),
        (["cp", "idle:/data/renamed", &path("odd/pipe")], "odd/pipe"),
    ] {
        let refused = lab.refused(1, &argv).await?;
        ensure!(
            refused.contains(words) && refused.contains("FIFO"),
            "{argv:?}: {refused}"
        );
    }
    ensure!(!here.join("got").exists(), "half of a folder was copied");
    let nothing = ["exec", "idle", "test", "!", "-e", "/data/new"];
    lab.expect(&nothing).await?;
    lab.expect(&["cp", &path("link"), "idle:/data/"]).await?;
    lab.expect(&["cp", "-L", &path("link"), "idle:/data/followed"])
        .await?;
    let script = "readlink /data/link; cat /data/followed";
    let shown = lab
        .expect(&["exec", "idle", "/bin/sh", "-c", script])
        .await?;
    ensure!(shown == "note\na note\n", "{shown}");
    // No folder takes a file's place.
    std::fs::create_dir_all(here.join("folder/renamed"))?;
    for source in [path("folder"), path("folder/renamed")] {
        for target in ["idle:/data/renamed", "idle:/data"] {
            let argv = ["cp", &source, target];
            if source.ends_with("folder") && target.ends_with("data") {
                continue; // it has no file of that name
            }
            let refused = lab.refused(1, &argv).await?;
            ensure!(
                refused.contains("/data/renamed: it is a file"),
                "{argv:?}: {refused}"
            );
        }
    }
    // Of a folder that a link leads to, the links stay links.
    let inside = "mkdir /data/tree; ln -s /data/odd /data/tree/odd; ln -s tree /data/leads";
    lab.expect(&["exec", "idle", "/bin/sh", "-c", inside])
        .await?;
    lab.expect(&["cp", "-L", "idle:/data/leads", &path("followed")])
        .await?;
    lab.expect(&["cp", "idle:/data/leads", &path("leads")])
        .await?;
    for (link, to) in [("followed/odd", "/data/odd"), ("leads", "tree")] {
        ensure!(
            std::fs::read_link(here.join(link))? == Path::new(to),
            "{link}"
        );
    }
    let missing = ["cp", "-L", "idle:/data/none/x", "."];
    let refused = lab.refused(1, &missing).await?;
    ensure!(refused.contains("/data/none/x"), "{refused}");
    Ok(())
}
