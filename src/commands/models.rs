//! `voxflow models`: the networks there are, and what each is made of.

use serde_json::{Value, json};
use voxflow_models::{Layer, NetworkConfig, Profile};

use crate::cli::{Format, ModelsArgs, NetworkProfile};
use crate::error::Error;
use crate::pipeline::diagnostics::nearest;
use crate::terminal;

/// Prints the list of networks, or the layers of one.
///
/// # Errors
/// When there is no network of that name.
pub fn models(args: &ModelsArgs) -> Result<(), Error> {
    let profile = match args.profile {
        NetworkProfile::Fixed => Profile::Fixed,
        NetworkProfile::Reference => Profile::Reference,
    };
    let names = match &args.name {
        Some(name) => vec![name.as_str()],
        None => NetworkConfig::ALL.to_vec(),
    };
    let networks = names.iter().map(|name| Network::find(name, profile));
    let networks = networks.collect::<Result<Vec<_>, _>>()?;
    match (args.format, &args.name) {
        (Format::Json, None) => {
            terminal::print_json(&networks.iter().map(Network::facts).collect())
        }
        (Format::Json, Some(_)) => {
            let facts = networks.iter().map(Network::facts);
            terminal::print_json(&facts.collect::<Value>()[0])
        }
        (Format::Text, None) => terminal::print(&list(&networks)),
        (Format::Text, Some(_)) => {
            networks.iter().try_for_each(|network| terminal::print(&network.text()))
        }
    }
}

/// A network at the sizes of the literature, and its layers.
struct Network {
    config: NetworkConfig,
    layers: Vec<Layer>,
}

impl Network {
    fn find(name: &str, profile: Profile) -> Result<Self, Error> {
        let Some(config) = NetworkConfig::literature(name) else {
            let hint = match nearest(name, &NetworkConfig::ALL) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", NetworkConfig::ALL.join(", ")),
            };
            return Err(Error::argument(name, "there is no network of this name", hint));
        };
        let config = config.with_profile(profile);
        let layers = config.layers().map_err(|(field, message)| {
            Error::argument(name, format!("{field} {message}"), "choose other sizes")
        })?;
        Ok(Self { config, layers })
    }

    fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Encoder, generator, discriminator: those that it has, each with its number of parameters.
    fn parts(&self) -> Vec<(&str, usize)> {
        let mut parts: Vec<(&str, usize)> = Vec::new();
        for layer in &self.layers {
            let part = layer.name.split('.').next().unwrap_or_default();
            match parts.last_mut().filter(|(last, _)| *last == part) {
                Some((_, parameters)) => *parameters += layer.parameters,
                None => parts.push((part, layer.parameters)),
            }
        }
        parts
    }

    fn facts(&self) -> Value {
        let layer = |layer: &Layer| {
            json!({
                "name": layer.name,
                "kind": layer.kind,
                "output": layer.output,
                "parameters": layer.parameters,
            })
        };
        let quirks = self
            .config
            .quirks()
            .into_iter()
            .map(|quirk| json!({ "name": quirk.name, "what": quirk.what, "on": quirk.on }));
        let parts = self.parts().into_iter();
        json!({
            "name": self.config.name(),
            "parameters": self.parameters(),
            "parts": parts.map(|(name, n)| (name.to_owned(), n.into())).collect::<serde_json::Map<_, _>>(),
            "layers": self.layers.iter().map(layer).collect::<Value>(),
            "quirks": quirks.collect::<Value>(),
        })
    }

    fn text(&self) -> String {
        let mut rows = vec![["layer", "what", "output", "parameters"].map(str::to_owned).to_vec()];
        rows.extend(self.layers.iter().map(|layer| {
            let sides: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
            let parameters = terminal::thousands(layer.parameters as u64);
            vec![layer.name.clone(), layer.kind.clone(), sides.join(" x "), parameters]
        }));
        let mut text = format!("{}\n\n{}\n", self.config.name(), terminal::table(&rows));
        for (part, parameters) in self.parts() {
            text += &format!("{part}: {} parameters\n", terminal::thousands(parameters as u64));
        }
        text += &format!("together: {}\n", terminal::thousands(self.parameters() as u64));
        let quirks = self.config.quirks();
        if !quirks.is_empty() {
            text += "\nwhat public code does otherwise (--profile reference turns all on):\n";
        }
        for quirk in quirks {
            let on = if quirk.on { "on" } else { "off" };
            text += &format!("  {} ({on}): {}\n", quirk.name, quirk.what);
        }
        text
    }
}

fn list(networks: &[Network]) -> String {
    let row = |network: &Network| {
        let parts = network.parts().into_iter();
        let parts = parts.map(|(part, n)| format!("{part} {}", terminal::thousands(n as u64)));
        vec![network.config.name().to_owned(), parts.collect::<Vec<_>>().join(", ")]
    };
    let table = terminal::table(&networks.iter().map(row).collect::<Vec<_>>());
    format!("{table}\n`voxflow models NAME` shows the layers of one.\n")
}
