package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
)

var (
	programType = jsonType("workload/program")
	recordType  = jsonType("workload/record")

	total   = statefun.ValueSpec{Name: "total", ValueType: statefun.Int64Type}
	journal = statefun.ValueSpec{Name: "journal", ValueType: jsonType("workload/journal")}

	cells = map[string]statefun.ValueSpec{
		"flag":   {Name: "flag", ValueType: statefun.BoolType},
		"number": {Name: "number", ValueType: statefun.Int32Type},
		"count":  {Name: "count", ValueType: statefun.Int64Type},
		"ratio":  {Name: "ratio", ValueType: statefun.Float64Type},
		"small":  {Name: "small", ValueType: statefun.Float32Type},
		"text":   {Name: "text", ValueType: statefun.StringType},
		"note":   {Name: "note", ValueType: jsonType("workload/note")},
	}
)

func jsonType(name string) statefun.SimpleType {
	return statefun.MakeJsonType(statefun.TypeNameFrom(name))
}

func specs() []statefun.ValueSpec {
	all := []statefun.ValueSpec{total, journal}
	for _, cell := range cells {
		all = append(all, cell)
	}
	return all
}

type program struct {
	Id   string      `json:"id"`
	From *string     `json:"from"`
	Do   []operation `json:"do"`
}

// operation has the fields of all operations.
type operation struct {
	Op      string          `json:"op"`
	Amount  int64           `json:"amount"`
	Cell    string          `json:"cell"`
	Value   json.RawMessage `json:"value"`
	Number  int64           `json:"number"`
	To      string          `json:"to"`
	Program json.RawMessage `json:"program"`
	Ms      int64           `json:"ms"`
	Token   string          `json:"token"`
	Text    string          `json:"text"`
	Topic   string          `json:"topic"`
	Stream  string          `json:"stream"`
	Key     string          `json:"key"`
	Mark    string          `json:"mark"`
	Round   json.RawMessage `json:"round"`
}

// entry of the journal: what came from one caller.
type entry struct {
	Count    int64 `json:"count"`
	Last     int64 `json:"last"`
	Disorder int64 `json:"disorder"`
}

type fields map[string]any

func take(context statefun.Context, message statefun.Message) error {
	if message.Is(programType) {
		return interpret(context, message)
	}
	return told(context, message)
}

func told(context statefun.Context, message statefun.Message) error {
	for name, cell := range cells {
		if message.Is(cell.ValueType) {
			value := receiver(name)
			if err := message.As(cell.ValueType, value); err != nil {
				return err
			}
			run := run{context: context}
			run.record("told", fields{"caller": run.caller(), "cell": name, "value": shown(value)})
			return nil
		}
	}
	return fmt.Errorf("no cell has the type %s", message.ValueTypeName())
}

func interpret(context statefun.Context, message statefun.Message) error {
	var program program
	if err := message.As(programType, &program); err != nil {
		return err
	}
	run := run{context, context.Storage(), program.Id}
	if caller := run.caller(); !same(caller, program.From) {
		run.record("complaint", fields{"program": program.Id, "caller": caller})
	}
	for _, operation := range program.Do {
		if err := run.do(operation); err != nil {
			return fmt.Errorf("%s of program %s: %w", operation.Op, program.Id, err)
		}
	}
	return nil
}

// run is one program at one address.
type run struct {
	context statefun.Context
	storage statefun.AddressScopedStorage
	program string
}

func (r run) do(o operation) error {
	switch o.Op {
	case "add":
		var sum int64
		r.storage.Get(total, &sum)
		r.storage.Set(total, sum+o.Amount)
	case "set":
		value, err := taken(o.Cell, o.Value)
		if err != nil {
			return err
		}
		r.storage.Set(cells[o.Cell], value)
	case "clear":
		r.storage.Remove(cells[o.Cell])
	case "read":
		r.record("read", fields{"program": r.program, "cell": o.Cell, "value": r.cell(o.Cell)})
	case "mark":
		r.mark(o.Number)
	case "send":
		r.context.Send(messageTo(o.To, o.Program, programType))
	case "send_after":
		message := messageTo(o.To, o.Program, programType)
		return r.sendAfter(time.Duration(o.Ms)*time.Millisecond, o.Token, message)
	case "tell":
		value, err := taken(o.Cell, o.Value)
		if err != nil {
			return err
		}
		r.context.Send(messageTo(o.To, value, cells[o.Cell].ValueType))
	case "cancel":
		token, err := statefun.NewCancellationToken(o.Token)
		if err != nil {
			return err
		}
		r.context.CancelDelayedMessage(token)
	case "egress":
		r.record("egress", fields{"program": r.program, "text": o.Text})
	case "kafka":
		r.context.SendEgress(statefun.KafkaEgressBuilder{
			Target: statefun.TypeNameFrom("workload/kafka"),
			Topic:  o.Topic,
			Key:    o.Key,
			Value:  o.Text,
		})
	case "kinesis":
		r.context.SendEgress(statefun.KinesisEgressBuilder{
			Target:       statefun.TypeNameFrom("workload/kinesis"),
			Stream:       o.Stream,
			PartitionKey: o.Key,
			Value:        o.Text,
		})
	case "fail_once":
		if isNew(o.Mark) {
			return fmt.Errorf("fails once: %s", o.Mark)
		}
	case "crash_once":
		if isNew(o.Mark) {
			os.Exit(1)
		}
	case "report":
		r.report(o.Round)
	default:
		return fmt.Errorf("unknown operation")
	}
	return nil
}

// cell is what is in a cell, in the form that set takes.
func (r run) cell(cell string) any {
	value := receiver(cell)
	if !r.storage.Get(cells[cell], value) {
		return nil
	}
	return shown(value)
}

func (r run) mark(number int64) {
	entries := map[string]entry{}
	r.storage.Get(journal, &entries)
	var caller string
	if address := r.caller(); address != nil {
		caller = *address
	}
	entry := entries[caller]
	entry.Count++
	if number != entry.Last+1 {
		entry.Disorder++
	}
	entry.Last = number
	entries[caller] = entry
	r.storage.Set(journal, entries)
}

func (r run) sendAfter(delay time.Duration, token string, message statefun.MessageBuilder) error {
	if token == "" {
		r.context.SendAfter(delay, message)
		return nil
	}
	cancellable, err := statefun.NewCancellationToken(token)
	if err != nil {
		return err
	}
	r.context.SendAfterWithCancellationToken(delay, cancellable, message)
	return nil
}

func (r run) report(round json.RawMessage) {
	report := fields{"round": round, "total": nil, "journal": nil}
	var sum int64
	if r.storage.Get(total, &sum) {
		report["total"] = decimal(sum)
	}
	var entries map[string]entry
	if r.storage.Get(journal, &entries) {
		report["journal"] = entries
	}
	values := fields{}
	for name := range cells {
		values[name] = r.cell(name)
	}
	report["cells"] = values
	r.record("report", report)
}

func (r run) record(kind string, record fields) {
	record["kind"] = kind
	record["at"] = textOf(r.context.Self())
	r.context.SendEgress(statefun.GenericEgressBuilder{
		Target:    statefun.TypeNameFrom("workload/records"),
		Value:     record,
		ValueType: recordType,
	})
}

func (r run) caller() *string {
	if r.context.Caller() == nil {
		return nil
	}
	text := textOf(*r.context.Caller())
	return &text
}

// receiver is what the value of a cell is read into, and set from.
func receiver(cell string) any {
	switch cell {
	case "flag":
		return new(bool)
	case "number":
		return new(int32)
	case "count":
		return new(int64)
	case "ratio":
		return new(float64)
	case "small":
		return new(float32)
	case "text":
		return new(string)
	default:
		return new(json.RawMessage)
	}
}

// taken is the value of a cell in the form that set takes.
func taken(cell string, value json.RawMessage) (any, error) {
	into := receiver(cell)
	if cell == "count" {
		// A long is text: not every JSON reader keeps 64 bits.
		value = []byte(strings.Trim(string(value), `"`))
	}
	return into, json.Unmarshal(value, into)
}

// shown is the inverse of taken.
func shown(value any) any {
	if count, ok := value.(*int64); ok {
		return decimal(*count)
	}
	return value
}

func messageTo(address string, value any, valueType statefun.SimpleType) statefun.MessageBuilder {
	parts := strings.SplitN(address, "/", 3)
	return statefun.MessageBuilder{
		Target: statefun.Address{
			FunctionType: statefun.TypeNameFrom(parts[0] + "/" + parts[1]),
			Id:           parts[2],
		},
		Value:     value,
		ValueType: valueType,
	}
}

func textOf(address statefun.Address) string {
	return address.FunctionType.String() + "/" + address.Id
}

func same(one, other *string) bool {
	if one == nil || other == nil {
		return one == other
	}
	return *one == *other
}

func decimal(number int64) string {
	return strconv.FormatInt(number, 10)
}

// isNew tells whether the mark was not there yet. It is now.
func isNew(mark string) bool {
	file, err := os.OpenFile(filepath.Join(os.Getenv("MARKS"), mark), os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false
	}
	must(err)
	must(file.Close())
	return true
}
