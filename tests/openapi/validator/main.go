// Command validator is a proxy that checks each request and each response against an OpenAPI description, with kin-openapi. What it reports is at
// /_report: the calls with their status, and what the description does not allow.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Report is what the proxy has seen.
type Report struct {
	mutex sync.Mutex
	// Calls has "<operationId> <status>" of each pair of a request and a response that the description allows.
	Calls []string `json:"calls"`
	// Violations has what the description does not allow.
	Violations []string `json:"violations"`
}

func (r *Report) call(call string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Calls = append(r.Calls, call)
}

func (r *Report) violation(text string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Violations = append(r.Violations, text)
}

func (r *Report) read(w http.ResponseWriter, _ *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_ = json.NewEncoder(w).Encode(r)
}

func (r *Report) clear(http.ResponseWriter, *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Calls, r.Violations = []string{}, []string{}
}

// Validator checks requests and responses.
type Validator struct {
	router routers.Router
	report *Report
}

// The checked request, which the check of the response needs.
type checkedRequest struct{}

// request reads the body, which the checks read too, and keeps it for the one who sends the request on.
func (v *Validator) request(r *http.Request) *http.Request {
	route, parameters, err := v.router.FindRoute(r)
	if err != nil {
		v.report.violation(fmt.Sprintf("request %s %s: %v", r.Method, r.URL.Path, err))
		return r
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:    authenticate,
			IncludeResponseStatus: true,
			MultiError:            true,
			// Otherwise each violation repeats the schema and the value.
			SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.DisableSchemaErrorDetails()},
		},
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		v.report.violation(fmt.Sprintf("request %s: %v", route.Operation.OperationID, err))
	}
	return r.WithContext(context.WithValue(r.Context(), checkedRequest{}, input))
}

func (v *Validator) response(response *http.Response) error {
	input, ok := response.Request.Context().Value(checkedRequest{}).(*openapi3filter.RequestValidationInput)
	if !ok {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	call := fmt.Sprintf("%s %d", input.Route.Operation.OperationID, response.StatusCode)
	err = openapi3filter.ValidateResponse(response.Request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                input.Options,
	})
	if err != nil {
		v.report.violation(fmt.Sprintf("response %s: %v", call, err))
		return nil
	}
	v.report.call(call)
	return nil
}

// authenticate requires the header of the security scheme. Whether the token is valid is the answer of the service.
func authenticate(_ context.Context, input *openapi3filter.AuthenticationInput) error {
	name := input.SecurityScheme.Name
	if input.RequestValidationInput.Request.Header.Get(name) == "" {
		return errors.New("no " + name)
	}
	return nil
}

// text reads the body of a page.
func text(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	read, err := io.ReadAll(body)
	return string(read), err
}

func run(description, upstream string) error {
	// A document that breaks the rules of OpenAPI must not pass as one that allows everything.
	document, err := openapi3.NewLoader().LoadFromFile(description)
	if err != nil {
		return err
	}
	if err := document.Validate(context.Background()); err != nil {
		return err
	}
	// The proxy has an address of its own.
	document.Servers = nil
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		return err
	}
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	openapi3filter.RegisterBodyDecoder("text/html", text)
	validator := &Validator{router: router, report: &Report{Calls: []string{}, Violations: []string{}}}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: validator.response,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_report", validator.report.read)
	mux.HandleFunc("DELETE /_report", validator.report.clear)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { proxy.ServeHTTP(w, validator.request(r)) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://127.0.0.1:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	// It ends with the one who has started it, whatever happens to that.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(listener, mux)
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: validator DESCRIPTION URL")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
