{ A server by the sockets unit: one connection after the other. `server ADDRESS PORT` }
{$mode objfpc}{$H+}
program server;
uses sockets, sysutils;

var
  listener, client: longint;
  address: tinetsockaddr;
  length_: tsocklen;
  buffer: array[0..4095] of char;
  count, on_: longint;
  request, path, body: string;
begin
  listener := fpsocket(af_inet, sock_stream, 0);
  on_ := 1;
  fpsetsockopt(listener, sol_socket, so_reuseaddr, @on_, sizeof(on_));
  address.sin_family := af_inet;
  address.sin_port := htons(strtoint(paramstr(2)));
  address.sin_addr := strtonetaddr(paramstr(1));
  if (fpbind(listener, @address, sizeof(address)) <> 0) or (fplisten(listener, 10) <> 0) then begin
    writeln('cannot listen: ', socketerror);
    halt(1);
  end;
  writeln('listening');
  flush(output);
  repeat
    length_ := sizeof(address);
    client := fpaccept(listener, @address, @length_);
    request := '';
    repeat
      count := fprecv(client, @buffer, sizeof(buffer), 0);
      if count <= 0 then break;
      setlength(request, length(request) + count);
      move(buffer, request[length(request) - count + 1], count);
      while pos(#13#10#13#10, request) > 0 do begin
        path := copy(request, 5, pos(' HTTP', request) - 5);
        body := 'you asked for ' + path + #10;
        body := 'HTTP/1.1 200 OK'#13#10'Content-Length: ' + inttostr(length(body)) + #13#10#13#10 + body;
        fpsend(client, @body[1], length(body), 0);
        delete(request, 1, pos(#13#10#13#10, request) + 3);
      end;
    until false;
    closesocket(client);
  until false;
end.
