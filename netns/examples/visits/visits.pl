#!/usr/bin/perl
# GET /<page> counts and tells the visits of a page; GET /health asks Redis. Needs nothing but Perl itself.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';

# One command in Redis's protocol (RESP 2): an array of bulk strings; the answer's first line is enough here.
sub redis {
    my $socket = IO::Socket::INET->new(PeerAddr => $ENV{REDIS} // 'redis:6379', Timeout => 2)
        or die "redis: $@\n";
    $socket->print(sprintf "*%d\r\n%s", scalar @_, join '', map { sprintf "\$%d\r\n%s\r\n", length, $_ } @_);
    my $answer = $socket->getline // die "redis: closed\n";
    $answer =~ s/\r\n\z//;
    die "redis: $answer\n" if $answer =~ /^-/;
    return substr $answer, 1;
}

sub page {
    my ($path) = @_;
    return "ok\n" if $path eq '/health' && redis('PING') eq 'PONG';
    return sprintf "visit %d of %s\n", redis('INCR', "visits:$path"), $path;
}

sub answer {
    my ($client) = @_;
    my ($path) = ($client->getline // '') =~ m{^GET (/[\w/.-]{0,100}) } or return;
    while (defined(my $header = $client->getline)) { last if $header =~ /^\r?$/ }
    my $body = eval { page($path) };
    my $status = defined $body ? '200 OK' : '503 Service Unavailable';
    $body //= $@;
    $client->printf("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", $status, length $body, $body);
}

if (($ARGV[0] // '') eq 'healthcheck') {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:8000', Timeout => 2) or exit 1;
    $socket->print("GET /health HTTP/1.1\r\n\r\n");
    exit(($socket->getline // '') =~ / 200 / ? 0 : 1);
}

my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 64, ReuseAddr => 1) or die "port 8000: $@\n";
print STDERR "listening on port 8000\n";
while (my $client = $server->accept) {
    local $SIG{ALRM} = sub { $client->shutdown(2) };
    alarm 5;    # a client that says nothing keeps nobody waiting for longer
    answer($client);
    alarm 0;
}
