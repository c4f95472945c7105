#!/usr/bin/perl
# POST /entries writes a line into the guest book, GET /entries tells the last ten and how often they were asked for.
# PostgreSQL is spoken to through psql, Valkey by its own protocol; nothing else is needed.
use strict;
use warnings;
use IO::Socket::INET;
use IPC::Open2;

$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';

# SQL with :'text' for the visitor's words, which psql quotes.
sub sql {
    my ($sql, $text) = @_;
    my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'text=' . ($text // ''), '-f', '-');
    print $in $sql;
    close $in;
    my @rows = <$out>;
    waitpid $pid, 0;
    die "the database refused\n" if $?;
    return join '', @rows;
}

# One command in Valkey's protocol (RESP 2): an array of bulk strings; the answer's first line is enough here.
sub valkey {
    my $socket = IO::Socket::INET->new(PeerAddr => $ENV{CACHE} // 'cache:6379', Timeout => 2)
        or die "cache: $@\n";
    $socket->print(sprintf "*%d\r\n%s", scalar @_, join '', map { sprintf "\$%d\r\n%s\r\n", length, $_ } @_);
    my $answer = $socket->getline // die "cache: closed\n";
    $answer =~ s/\r\n\z//;
    die "cache: $answer\n" if $answer =~ /^-/;
    return substr $answer, 1;
}

sub page {
    my ($method, $path, $text) = @_;
    return "ok\n" if $path eq '/health' && valkey('PING') eq 'PONG' && sql('SELECT 1;') eq "1\n";
    if ($path eq '/entries' && $method eq 'POST') {
        return 'entry ' . sql("INSERT INTO entries (text) VALUES (:'text') RETURNING id;", $text);
    }
    if ($path eq '/entries') {
        my $rows = sql('SELECT id, text FROM entries ORDER BY id DESC LIMIT 10;');
        return $rows . sprintf "asked for %d times\n", valkey('INCR', 'asked');
    }
    return;
}

sub answer {
    my ($client) = @_;
    my ($method, $path) = ($client->getline // '') =~ m{^(GET|POST) (/\w*) } or return;
    my $length = 0;
    while (defined(my $header = $client->getline)) {
        last if $header =~ /^\r?$/;
        $length = $1 if $header =~ /^Content-Length:\s*(\d{1,4})\s*$/i;
    }
    read $client, my $text, $length;
    my $body   = eval { page($method, $path, $text) };
    my $status = defined $body ? '200 OK' : $@ ? '503 Service Unavailable' : '404 Not Found';
    $body //= $@ || "not here\n";
    $client->printf("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", $status, length $body, $body);
}

if (($ARGV[0] // '') eq 'healthcheck') {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:8000', Timeout => 2) or exit 1;
    $socket->print("GET /health HTTP/1.1\r\n\r\n");
    exit(($socket->getline // '') =~ / 200 / ? 0 : 1);
}

open my $file, '<', $ENV{PASSWORD_FILE} or die "$ENV{PASSWORD_FILE}: $!\n";
chomp($ENV{PGPASSWORD} = <$file>);
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 64, ReuseAddr => 1) or die "port 8000: $@\n";
print STDERR "listening on port 8000\n";
while (my $client = $server->accept) {
    local $SIG{ALRM} = sub { $client->shutdown(2) };
    alarm 5;    # a client that says nothing keeps nobody waiting for longer
    answer($client);
    alarm 0;
}
