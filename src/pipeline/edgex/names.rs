//! The names of the functions in all versions of EdgeX, and who reads the parameters of each.

use super::super::stages::StageKind;
use super::parameters::Parameters;
use super::{
    batch, compress, convert, egress_export, encrypt, filter, http_export, mqtt_export,
    push_to_core, respond, rule, tags, wrap,
};
use crate::document::At;

type Read = fn(Parameters<'_>) -> Option<StageKind>;

/// A function of EdgeX.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Function {
    pub(in crate::pipeline) name: &'static str,
    read: Read,
}

impl Function {
    /// The stage that the parameters at `at` describe; `None` if they have faults, which are reported.
    pub(in crate::pipeline) fn read(self, at: At<'_>) -> Option<StageKind> {
        (self.read)(Parameters::read(at)?)
    }
}

const fn function(name: &'static str, read: Read) -> Function {
    Function { name, read }
}

const FUNCTIONS: &[Function] = &[
    function("FilterByProfileName", filter::by_profile),
    function("FilterByDeviceName", filter::by_device),
    function("DeviceNameFilter", filter::by_device),
    function("FilterBySourceName", filter::by_source),
    function("FilterByResourceName", filter::by_resource),
    function("FilterByValueDescriptor", filter::by_value_descriptor),
    function("ValueDescriptorFilter", filter::by_value_descriptor),
    function("Transform", convert::read),
    function("TransformToXML", convert::to_xml),
    function("XMLTransform", convert::to_xml),
    function("TransformToJSON", convert::to_json),
    function("JSONTransform", convert::to_json),
    function("ToLineProtocol", convert::to_line_protocol),
    function("Compress", compress::read),
    function("CompressWithGZIP", compress::gzip),
    function("CompressWithZLIB", compress::zlib),
    function("Encrypt", encrypt::read),
    function("EncryptWithAES", encrypt::read_aes),
    function("Batch", batch::read),
    function("BatchByCount", batch::by_count),
    function("BatchByTime", batch::by_time),
    function("BatchByTimeAndCount", batch::by_time_and_count),
    function("JSONLogic", rule::read),
    function("AddTags", tags::read),
    function("WrapIntoEvent", wrap::read),
    function("SetResponseData", respond::read),
    function("SetOutputData", respond::read),
    function("SetOutput", respond::read),
    function("MarkAsPushed", respond::mark_as_pushed),
    function("HTTPExport", http_export::read),
    function("HTTPPost", http_export::post),
    function("HTTPPostJSON", http_export::post_json),
    function("HTTPPostXML", http_export::post_xml),
    function("HTTPPut", http_export::put),
    function("HTTPPutJSON", http_export::put_json),
    function("HTTPPutXML", http_export::put_xml),
    function("MQTTExport", mqtt_export::read),
    function("MQTTSecretSend", mqtt_export::read),
    function("MQTTSend", mqtt_export::of_version_1),
    function("PushToCore", push_to_core::read),
    function("KafkaExport", egress_export::kafka),
    function("KinesisExport", egress_export::kinesis),
];

/// The function with exactly this name.
pub(in crate::pipeline) fn reader(name: &str) -> Option<Function> {
    FUNCTIONS.iter().copied().find(|known| known.name == name)
}

/// The function whose name `name` begins with; the longest one counts, so that `HTTPExport2` is an `HTTPExport`.
pub(super) fn with_prefix_of(name: &str) -> Option<Function> {
    let known = FUNCTIONS.iter().copied();
    let prefixes = known.filter(|function| name.starts_with(function.name));
    prefixes.max_by_key(|function| function.name.len())
}

/// The names of all functions.
pub(in crate::pipeline) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}
