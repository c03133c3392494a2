// Prints what the official Go SDK makes of the scenario in README.md, one `name hex` a line.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	. "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

type Visit struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

var (
	visit = MakeJsonType(TypeNameFrom("witness/visit"))
	count = ValueSpec{Name: "count", ValueType: Int64Type}
	note  = ValueSpec{Name: "note", ValueType: StringType, Expiration: ExpireAfterWrite(1500 * time.Millisecond)}
	flag  = ValueSpec{Name: "flag", ValueType: BoolType, Expiration: ExpireAfterCall(time.Minute)}
	rest  = ValueSpec{Name: "rest", ValueType: Float64Type}
)

func other(id string) Address {
	return Address{FunctionType: TypeNameFrom("witness/other"), Id: id}
}

func run(ctx Context, message Message) error {
	storage := ctx.Storage()
	var n int64
	if message.IsString() {
		storage.Get(count, &n)
		storage.Set(count, n+1)
		text, half := "?", 0.0
		there := storage.Get(note, &text)
		storage.Get(rest, &half)
		storage.Set(flag, there && text == "" && half == 2.5)
		storage.Remove(note)
		token0, _ := NewCancellationToken("tok-0")
		token1, _ := NewCancellationToken("tok-1")
		ctx.Send(MessageBuilder{Target: other("o1"), Value: int32(42)})
		ctx.Send(MessageBuilder{Target: other("o2"), Value: Visit{"Zoë", 1}, ValueType: visit})
		ctx.SendAfter(1500*time.Millisecond, MessageBuilder{Target: other("o3"), Value: "later"})
		ctx.SendAfter(0, MessageBuilder{Target: other("o3"), Value: ""})
		ctx.CancelDelayedMessage(token0)
		ctx.SendAfterWithCancellationToken(time.Minute, token1, MessageBuilder{Target: ctx.Self(), Value: int64(-5)})
		ctx.SendEgress(GenericEgressBuilder{Target: TypeNameFrom("witness/out"), Value: 2.5, ValueType: Float64Type})
		kafka := TypeNameFrom("witness/kafka")
		ctx.SendEgress(KafkaEgressBuilder{Target: kafka, Topic: "t", Key: "k", Value: "välue"})
		ctx.SendEgress(KafkaEgressBuilder{Target: kafka, Topic: "t", Value: true, ValueType: BoolType})
		ctx.SendEgress(KafkaEgressBuilder{Target: kafka, Topic: "t", Value: int32(7)})
		ctx.SendEgress(KinesisEgressBuilder{Target: TypeNameFrom("witness/kinesis"), Stream: "s", PartitionKey: "p", Value: []byte{0, 255}, ExplicitHashKey: "9"})
	} else if message.IsInt32() {
		if ctx.Caller() != nil {
			return fmt.Errorf("a caller where there is none")
		}
		storage.Get(count, &n)
		storage.Set(count, n+int64(message.AsInt32()))
		ctx.Send(MessageBuilder{Target: other("o4"), Value: float32(1.5)})
	} else {
		ctx.Send(MessageBuilder{Target: *ctx.Caller(), Value: true})
	}
	return nil
}

func idle(Context, Message) error { return nil }

func show(name string, value []byte) { fmt.Printf("%s %x\n", name, value) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func typeBytes(name string, t SimpleType, value interface{}) {
	buffer := bytes.Buffer{}
	must(0, t.Serialize(&buffer, value))
	show(name, buffer.Bytes())
}

// The generated types of the SDK are internal; they are reached by their names.
func message(name protoreflect.FullName) proto.Message {
	return must(protoregistry.GlobalTypes.FindMessageByName(name)).New().Interface()
}

func main() {
	log.SetOutput(io.Discard)
	functions := StatefulFunctionsBuilder()
	must(0, functions.WithSpec(StatefulFunctionSpec{
		FunctionType: TypeNameFrom("witness/all"),
		States:       []ValueSpec{count, note, flag, rest},
		Function:     StatefulFunctionPointer(run),
	}))
	must(0, functions.WithSpec(StatefulFunctionSpec{FunctionType: TypeNameFrom("witness/idle"), Function: StatefulFunctionPointer(idle)}))
	handler := functions.AsHandler()

	typeBytes("bool_true", BoolType, true)
	typeBytes("bool_false", BoolType, false)
	typeBytes("int_zero", Int32Type, int32(0))
	typeBytes("int_minus_one", Int32Type, int32(-1))
	typeBytes("int_min", Int32Type, int32(math.MinInt32))
	typeBytes("int_max", Int32Type, int32(math.MaxInt32))
	typeBytes("long_zero", Int64Type, int64(0))
	typeBytes("long_minus_two", Int64Type, int64(-2))
	typeBytes("long_min", Int64Type, int64(math.MinInt64))
	typeBytes("long_max", Int64Type, int64(math.MaxInt64))
	typeBytes("float_zero", Float32Type, float32(0))
	typeBytes("float_one", Float32Type, float32(1))
	typeBytes("float_minus_zero", Float32Type, float32(math.Copysign(0, -1)))
	typeBytes("float_infinity", Float32Type, float32(math.Inf(1)))
	typeBytes("double_zero", Float64Type, 0.0)
	typeBytes("double_one", Float64Type, 1.0)
	typeBytes("double_minus_zero", Float64Type, math.Copysign(0, -1))
	typeBytes("double_infinity", Float64Type, math.Inf(1))
	typeBytes("string_empty", StringType, "")
	typeBytes("string_hi", StringType, "hi")
	typeBytes("string_umlaut", StringType, "Zoë \U0001f980")
	typeBytes("json_visit", visit, Visit{"Zoë", 1})

	address := message("io.statefun.sdk.reqreply.Address")
	must(0, prototext.Unmarshal([]byte(`namespace: "a" type: "b" id: "c"`), address))
	protobuf := MakeProtobufType(address)
	show("protobuf_name", []byte(protobuf.GetTypeName().String()))
	typeBytes("protobuf_address", protobuf, address)

	whole := message("io.statefun.sdk.reqreply.ToFunction")
	must(0, prototext.Unmarshal(must(os.ReadFile("request.textproto")), whole))
	ask := func(suffix string) {
		request := must(proto.MarshalOptions{Deterministic: true}.Marshal(whole))
		show("request"+suffix, request)
		name := "reply" + suffix
		if suffix == "_without_state" {
			name = "reply_incomplete"
		}
		show(name, must(handler.Invoke(context.Background(), request)))
	}
	ask("")
	fields := whole.ProtoReflect().Descriptor().Fields()
	batch := whole.ProtoReflect().Mutable(fields.ByName("invocation")).Message()
	batch.Clear(batch.Descriptor().Fields().ByName("state"))
	ask("_without_state")
	target := batch.Mutable(batch.Descriptor().Fields().ByName("target")).Message()
	target.Set(target.Descriptor().Fields().ByName("type"), protoreflect.ValueOfString("idle"))
	ask("_idle")
}
