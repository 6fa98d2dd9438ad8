//! What is typed about this host: images, settings and secrets.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List the images.
    Ls,
    /// Show an image: its prompt, its tools, what it says it needs.
    Show {
        /// Its name, or its path.
        image: String,
    },
    /// Check all of a package, tools and their tests too, and write one file of it.
    #[command(after_help = "Examples:
  libos image build reviewer/                  writes reviewer-1.json
  libos image build reviewer/ --out /tmp/r.json")]
    Build {
        /// The folder of the package, or its `image.toml`.
        path: PathBuf,
        /// The file to write [default: NAME-VERSION.json]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Register an image from a package or from what was built of one. It grants nothing.
    #[command(after_help = "Examples:
  libos image register reviewer/            the folder of a package, with its image.toml
  libos image register reviewer.toml        one file, and what it names beside it
  libos image register reviewer-1.json      what `libos image build` wrote
  libos image register reviewer/ --replace  in place of the one of the same name")]
    Register {
        /// The folder of a package, its `image.toml`, or a built file.
        path: PathBuf,
        /// Replace the image of the same name.
        #[arg(long)]
        replace: bool,
    },
    /// Tell how two images differ. It ends with 1 if they do.
    #[command(after_help = "Examples:
  libos image diff reviewer reviewer/       what is registered, and the folder
  libos image diff coding my-coding")]
    Diff {
        /// A name or a path.
        one: String,
        /// A name or a path.
        other: String,
    },
    /// Remove an image. Processes made from it go on, without tools.
    Unregister {
        /// Its name.
        image: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SkillCommand {
    /// List the skills that are registered, and those found in the user's folder and here.
    Ls {
        /// The workspace to look in.
        #[arg(default_value = ".")]
        workspace: PathBuf,
    },
    /// Show a skill: what it says, the tools it allows, its files.
    Show {
        /// Its name, if it is registered, or its folder.
        skill: String,
    },
    /// Register a skill from its folder: from then on this package is what its name means.
    #[command(after_help = "Examples:
  libos skill register skills/tidy            the folder, with its SKILL.md
  libos skill register skills/tidy --replace  in place of the one of the same name")]
    Register {
        /// The folder.
        path: PathBuf,
        /// Replace the skill of the same name.
        #[arg(long)]
        replace: bool,
    },
    /// Remove a skill. Who has taken it up keeps being bound by it.
    Unregister {
        /// Its name.
        skill: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// List the secrets: where each value comes from and where it may go, never the value.
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where it was set.
    Show {
        /// Every limit of every part too, with its default, its unit and its reason.
        #[arg(long)]
        all: bool,
    },
    /// Show which files are looked at, the lowest first.
    Path,
    /// Write a `libos.toml` with every key and its default, as comments.
    Init {
        /// Write the user's file instead of the one of this folder.
        #[arg(long)]
        user: bool,
    },
}
