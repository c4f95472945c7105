//! Options of Docker Compose that this program has not, and what to do instead.

/// Of what is done with images.
const IMAGES: &str = "images are not run here: there are none to pull, to pin or to remove";

/// The line of help for an option of a verb; of the program, where there is none.
pub(super) fn option(verb: &str, option: &str) -> Option<&'static str> {
    let is_name = !option.starts_with('-');
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    Some(match (verb, name) {
        ("exec" | "run", "-u" | "--user") => {
            "a sandbox has one user, and no root; `exec --privileged` runs the machine's programs in its network"
        }
        ("stats", "--no-trunc") => "`stats --json` has whole names",
        ("ls", "--filter") => "`ls --json` has every field of every lab, to be chosen from by jq",
        ("down", _) if is_name => {
            "`down` takes everything; of one service, `stop SERVICE`, or `scale SERVICE=0` without a trace"
        }
        ("config", _) if is_name => {
            "`config` prints the whole file; `--services` names what is in it"
        }
        ("kill" | "run", "--remove-orphans") => {
            "nothing is left of services that the file has no more: `up` removes them"
        }
        ("config", "--hash") => "`up` finds by itself what has changed, and starts that anew",
        (
            "config",
            "--no-consistency"
            | "--no-env-resolution"
            | "--no-interpolate"
            | "--no-normalize"
            | "--no-path-resolution",
        ) => {
            "`config` prints what a lab makes of the file: checked, with variables and paths filled in"
        }
        ("config", "--environment" | "--variables") => {
            "`config` shows what variables have come to, and names those that are required and missing"
        }
        ("config", "--lock-image-digests" | "--resolve-image-digests") => IMAGES,
        ("config", "--models") => "models are not run here",
        ("config", "--profiles") => {
            "`profiles:` in the file names them; `--profile NAME config --services` shows who is on"
        }
        ("up", "-t" | "--timeout") => {
            "`stop_grace_period` of a service says how long it may take; `stop`, `restart` and `down` take -t"
        }
        ("up", "--no-color") => "NO_COLOR=1 in the environment does without colours",
        ("up", "--no-start") => "`up --until STEP` builds the network, and starts nothing",
        (
            "up",
            "--abort-on-container-exit" | "--abort-on-container-failure" | "--exit-code-from",
        ) => "`up -d`, then `wait SERVICE`, whose exit code is the service's",
        ("up", "--attach" | "--no-attach" | "--attach-dependencies" | "--no-log-prefix") => {
            "`up -d`, then `logs -f SERVICE`"
        }
        ("cp", "-a" | "--archive") => "inside, files belong to the sandbox's one user",
        ("cp", "--all") => "a one-off instance has a name of its own, which `ps -a` shows",
        ("up", "--always-recreate-deps") => {
            "`up --force-recreate` starts anew what is named: name what it depends on, too"
        }
        ("up", "-V" | "--renew-anon-volumes") => {
            "`down --volumes` forgets what is in volumes, those without a name too"
        }
        ("up", "-w" | "--watch") => "`up` again builds, and starts anew what has changed",
        ("up", "--menu") => "other verbs steer it meanwhile, from another terminal",
        ("up", "--timestamps") => "`up -d`, then `logs -f -t`",
        ("run", "-d" | "--detach") => {
            "a one-off ends with the command that started it: `netns-setup run -T SERVICE &` leaves that to the shell; what is to stay is a service of the file"
        }
        ("run", "--build" | "--quiet-build") => {
            "`up` builds what has changed; a one-off runs what its service does"
        }
        ("run", "--cap-add" | "--cap-drop") => "a sandbox has no capability, and is given none",
        ("run", "--env-from-file") => {
            "`-e KEY=VALUE`; or `env_file` of the service, in the Compose file"
        }
        ("run", "-l" | "--label") => "a lab has no use for labels",
        ("run", "-q" | "--quiet") => "`2> /dev/null` hides what is said of coming up",
        ("run", "--use-aliases") => "nobody is led to a one-off by its service's names",
        ("run", "-P" | "--service-ports" | "--publish") => {
            "a one-off publishes no port: the services' own are published"
        }
        ("run", "-v" | "--volume") => "write the volume into the Compose file",
        (_, "--pull" | "--quiet-pull" | "--rmi" | "--platform") => IMAGES,
        (_, "--quiet-build") => "`--no-build` runs what was built before",
        (_, "--dry-run") => "`config --format plan` prints every step that `up` takes",
        (_, "--all-resources") => "a lab has every network and volume of the file, used or not",
        (_, "--compatibility") => "an instance is always called SERVICE-N",
        (_, "--parallel") => "what waits for nothing starts at once, always",
        (_, "--progress") => "progress is told line by line, on standard error",
        (_, "--verbose") => "`events` tells what happens, `logs` what is written",
        ("", "-v") => "`-V`, or `version`",
        (_, "--project-directory" | "--workdir") => {
            "paths are relative to the folder of the first Compose file"
        }
        (_, "--ansi" | "--no-ansi") => {
            "colours are for terminals; NO_COLOR=1 does without there too"
        }
        _ => return None,
    })
}
