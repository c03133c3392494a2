//! From a checked module to a runtime: here the parts are put together.

use super::{EgressTarget, HttpEgress, Ingress, Module};
use crate::pipeline::{HttpExport, Pipeline};
use crate::runtime::builder::EgressPlan;
use crate::runtime::egress::stdout::StdoutEgress;
use crate::runtime::{RuntimeBuilder, StartError, samples};
use crate::sdk::{StatefulFunctions, TypeName};

impl RuntimeBuilder {
    /// Binds everything that a module declares.
    ///
    /// # Errors
    /// When a declared part can't be built.
    pub fn module(mut self, module: &Module) -> Result<Self, StartError> {
        self.endpoints.extend(module.endpoints.iter().cloned());
        if module.samples {
            let functions = samples::functions().map_err(|error| StartError::Declared {
                what: format!("the sample functions: {error}"),
            })?;
            self = self.functions(functions);
        }
        for declared in &module.pipelines {
            let pipeline = Pipeline::declared(declared.config.clone())
                .clock(self.wall_clock())
                .build()
                .map_err(|error| StartError::Declared {
                    what: format!("{}: {error}", declared.place),
                })?;
            self = self.pipeline(&pipeline)?;
        }
        for ingress in &module.ingresses {
            match ingress {
                Ingress::Http(spec) => self.ingresses.push(Box::new(spec.clone())),
                Ingress::Playground(spec) => self.ingresses.push(Box::new(spec.clone())),
            }
        }
        for egress in &module.egresses {
            let plan = match &egress.target {
                EgressTarget::Stdout => EgressPlan::Push(std::sync::Arc::new(StdoutEgress {
                    name: egress.id.clone(),
                })),
                EgressTarget::File(spec) => EgressPlan::File(spec.path.clone()),
                EgressTarget::Playground(spec) => EgressPlan::Playground(spec.clone()),
                EgressTarget::Http(spec) => {
                    let pipeline = http_egress(&egress.id, spec, &self)?;
                    self = self.pipeline(&pipeline)?;
                    EgressPlan::Function(pipeline.entry().clone())
                }
            };
            self.egresses.push((egress.id.clone(), plan));
        }
        Ok(self)
    }

    /// Binds the functions of a pipeline.
    ///
    /// # Errors
    /// When two of its functions have the same name.
    pub fn pipeline(mut self, pipeline: &Pipeline) -> Result<Self, StartError> {
        let mut functions = StatefulFunctions::new();
        for spec in pipeline.functions() {
            functions = functions.with(spec).map_err(|error| StartError::Declared {
                what: error.to_string(),
            })?;
        }
        self.keepers.extend(pipeline.keepers().cloned());
        Ok(self.functions(functions))
    }
}

/// An egress that is a delivery with a policy: a pipeline of one export.
fn http_egress(
    id: &TypeName,
    spec: &HttpEgress,
    builder: &RuntimeBuilder,
) -> Result<Pipeline, StartError> {
    let mut export = HttpExport::post(&spec.url)
        .retry(spec.policy.clone())
        .timeout(spec.policy.timeout);
    export.method.clone_from(&spec.method);
    for (name, value) in &spec.headers {
        export = export.header(name, value.expose());
    }
    Pipeline::builder(id.name())
        .namespace(id.namespace())
        .named("deliver")
        .http_export(export)
        .clock(builder.wall_clock())
        .build()
        .map_err(|error| StartError::Declared {
            what: format!("egress {id}: {error}"),
        })
}
