//! Plans of atio tables cannot leave the process that made them, and say so.
//!
//! `datafusion-proto` asks each node to serialize itself before it asks any codec.

use datafusion::error::Result;
use datafusion::physical_plan::proto::ExecutionPlanEncodeCtx;
use datafusion_proto_models::protobuf::PhysicalPlanNode;

use crate::error::Error;

/// What a node may use to serialize itself.
pub(crate) type Context<'a> = ExecutionPlanEncodeCtx<'a>;

/// What it answers; with None a codec is asked.
pub(crate) type Serialized = Result<Option<PhysicalPlanNode>>;

/// The answer of `subject`. Not None: no codec knows what would be lost.
pub(crate) fn refuse(subject: &str, why: &str) -> Serialized {
    let message =
        format!("{subject} cannot be serialized: {why}. Run the plan in the process that made it");
    Err(Error::unsupported(message).into())
}
