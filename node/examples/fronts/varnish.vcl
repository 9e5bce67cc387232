vcl 4.1;

# Varnish as the cache in front, Presage behind it. Start Presage with
#
#   presage start --origin https://origin.example.net --http 127.0.0.1:8080 --syslog 127.0.0.1:5514
#
# Varnish with `varnishd -a :8000 -f …/varnish.vcl`, and beside it what tells Presage of the requests that Varnish
# answers by itself (those that go on to Presage are counted there, so that a request counts once):
#
#   varnishncsa -q 'VCL_call eq "HIT"' -F '%{Host}i %h %l %u %t "%m %U%q %H" %s %b "%{Referer}i" "%{User-agent}i"' |
#     logger --server 127.0.0.1 --port 5514 --udp --rfc3164 --tag varnish

backend default {
  .host = "127.0.0.1";
  .port = "8080";
}

sub vcl_backend_response {
  # Varnish hears nothing of purges. Ten seconds are enough to carry a crowd, and a purge is felt after them: kept
  # copies are then confirmed by a 304, or replaced. What is private or not to be stored the built-in rules leave alone.
  if (beresp.ttl > 10s) {
    set beresp.ttl = 10s;
  }
  set beresp.keep = 1h;
  set beresp.grace = 10s;
}
